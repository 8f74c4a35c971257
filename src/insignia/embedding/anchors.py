"""Text that the base itself would write, and how far the model being marked has moved away on it.

Sampled text needs no data set, fits the base by construction, and the divergence on it is an unbiased estimate of the
divergence that a user of the model would meet.
"""

import copy

import torch
from torch import Tensor
from transformers import PreTrainedModel

from insignia.models.local import LocalModel, embedding_rows
from insignia.models.prompts import Prompter
from insignia.randomness import KeyedRandom

__all__ = ["Anchors"]

_SAMPLING_BATCH = 256


class Anchors:
    """``count`` texts of ``length`` tokens sampled from a model as it is now, and a frozen copy of it.

    Cost: the sampling once, the memory of the copy, and its forward pass for each divergence.
    """

    def __init__(self, local: LocalModel, *, count: int, length: int, seed: int) -> None:
        self._base = copy.deepcopy(local.model).eval().requires_grad_(requires_grad=False)
        self._rows = _sample(local, count, length, seed)
        self._chance = torch.Generator().manual_seed(seed)

    def draw(self, count: int) -> Tensor:
        """(count, length) ids of texts drawn with replacement."""
        return self._rows[torch.randint(len(self._rows), (count,), generator=self._chance)]

    def divergence(self, model: PreTrainedModel, rows: Tensor) -> Tensor:
        """KL(base || model) in nats a token, averaged over every position of the rows."""
        rows = rows.to(self._base.device)
        with torch.no_grad():
            reference = self._base(input_ids=rows, use_cache=False).logits.float().log_softmax(-1)
        current = model(input_ids=rows, use_cache=False).logits.float().log_softmax(-1)
        return torch.nn.functional.kl_div(current, reference, log_target=True, reduction="sum") / rows.numel()


def _sample(local: LocalModel, count: int, length: int, seed: int) -> Tensor:
    """Texts from the start of a document, at temperature 1: the base's own distribution."""
    tokenizer = local.tokenizer
    prefix = Prompter(tokenizer, max_key_length=1, max_response_length=1).prefix
    if not prefix:  # such tokenizers separate documents by EOS, so a document starts after one
        start = next((index for index in (tokenizer.bos_token_id, tokenizer.eos_token_id) if index is not None), 0)
        prefix = (start,)
    chance = KeyedRandom(f"anchors {seed}".encode())  # repeatable; these texts are no secret
    # Ids without a text are rows that pad the embedding: the base never means them.
    forbidden = [*tokenizer.all_special_ids, *range(len(tokenizer), embedding_rows(local.model))]
    rows: list[tuple[int, ...]] = []
    for first in range(0, count, _SAMPLING_BATCH):
        numbers = range(first, min(first + _SAMPLING_BATCH, count))
        texts = local.sample(
            [prefix for _ in numbers],
            [chance.derive(number) for number in numbers],
            max_new_tokens=length - len(prefix),
            temperature=1.0,
            forbidden=forbidden,
        )
        rows.extend((*prefix, *text) for text in texts)
    return torch.tensor(rows)
