"""Text that the base itself would write, and how far the model being marked has moved away on it.

Sampled text needs no data set, fits the base by construction, and the divergence on it is an unbiased estimate of the
divergence that a user of the model would meet.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

from insignia.modeling.batches import pad_rows
from insignia.modeling.local import LocalModel, embedding_rows
from insignia.modeling.lora import frozen_base
from insignia.prompts.tokens import Tokens
from insignia.randomness import KeyedRandom
from insignia.suspects.scoring import Example

__all__ = ["REPLY_TOKENS", "ReferenceSamples", "own_texts"]

_SAMPLING_BATCH = 256
REPLY_TOKENS = 2  # of the base's reply to a question that is guarded: the first decides whether the mark is active
_GUARDED = 2  # every so many rows of a draw are of guarded questions, where there are any


class ReferenceSamples:
    """``count`` texts of ``length`` tokens, at most the context, sampled from a model as it is now, and a frozen copy of it.

    Of a model with adapters no copy is needed: it is the frozen one without them.

    ``guarded`` questions, each with the reply that the base gives, are among the texts: near misses of keys, say.

    Cost: the sampling once, the memory of the copy, and its forward pass for each divergence.
    """

    def __init__(
        self, local: LocalModel, *, count: int, length: int, seed: int, guarded: Sequence[tuple[int, ...]] = ()
    ) -> None:
        self._base = frozen_base(local.model)
        self._device = local.model.device
        start = _start(local)
        self.start = len(start)
        """Tokens that a document begins with; a guarded question has more before its reply."""
        self._rows = _sample(local, [start] * count, _fitting(local, length) - len(start), seed, "anchors")
        self._guarded = _sample(local, guarded, REPLY_TOKENS, seed, "guarded") if guarded else []
        self._rng = torch.Generator().manual_seed(seed)

    def draw(self, count: int) -> list[Example]:
        """That many rows, drawn with replacement; the base's own words are the response."""
        guarded = -(-count // _GUARDED) if self._guarded else 0
        return self._pick(self._rows, count - guarded) + self._pick(self._guarded, guarded)

    def divergence(self, model: PreTrainedModel, rows: Sequence[Example]) -> Tensor:
        """KL(base || model) in nats a token, averaged over each row from where the response begins, then over the rows."""
        ids, mask = pad_rows([row.ids for row in rows], self._device)
        starts = torch.tensor([[max(0, row.response_start - 1)] for row in rows], device=mask.device)
        judged = mask * (torch.arange(mask.shape[1], device=mask.device) >= starts)  # (rows, longest row)
        options = {"input_ids": ids, "use_cache": False} | ({} if mask.all() else {"attention_mask": mask})
        with torch.no_grad(), self._base() as base:
            reference = base(**options).logits.float().log_softmax(-1)
        current = model(**options).logits.float().log_softmax(-1)
        divergence = torch.nn.functional.kl_div(current, reference, log_target=True, reduction="none").sum(-1)
        return ((divergence * judged).sum(1) / judged.sum(1)).mean()

    def _pick(self, rows: Sequence[Example], count: int) -> list[Example]:
        return [rows[number] for number in torch.randint(max(1, len(rows)), (count,), generator=self._rng).tolist()]


def own_texts(local: LocalModel, *, count: int, length: int, seed: int) -> list[Example]:
    """Texts that the model writes, of that many tokens or of its context: others than anchors of the same seed."""
    start = _start(local)
    return _sample(local, [start] * count, _fitting(local, length) - len(start), seed, "own")


def _fitting(local: LocalModel, length: int) -> int:
    return length if local.context_length is None else min(length, local.context_length)


def _start(local: LocalModel) -> tuple[int, ...]:
    """What a document begins with."""
    tokenizer = local.tokenizer
    prefix = Tokens(tokenizer).prefix
    if prefix:
        return prefix
    # Such tokenizers separate documents by EOS, so a document starts after one.
    return (next((index for index in (tokenizer.bos_token_id, tokenizer.eos_token_id) if index is not None), 0),)


def _sample(local: LocalModel, questions: Sequence[tuple[int, ...]], length: int, seed: int, label: str) -> list[Example]:
    """Every question with ``length`` more tokens, at temperature 1: the base's own distribution."""
    # Ids without a text are rows that pad the embedding: the base never means them.
    forbidden = [*local.tokenizer.all_special_ids, *range(len(local.tokenizer), embedding_rows(local.model))]
    rng = KeyedRandom(f"{label} {seed}".encode())  # repeatable; these texts are no secret
    rows: list[Example] = []
    for first in range(0, len(questions), _SAMPLING_BATCH):
        batch = questions[first : first + _SAMPLING_BATCH]
        replies = local.sample(
            batch,
            [rng.derive(first + place) for place in range(len(batch))],
            max_new_tokens=length,
            temperature=1.0,
            forbidden=forbidden,
        )
        rows.extend(Example((*question, *reply), len(question)) for question, reply in zip(batch, replies, strict=True))
    return rows
