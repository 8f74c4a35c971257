"""Reference samples: text sampled from the base model, on which training keeps the KL divergence small.

Samples need no data set, and the divergence on them is an unbiased estimate of what the model's users see.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

from insignia.embedding.reference_cache import ReferenceCache
from insignia.modeling.local import LocalModel, embedding_rows
from insignia.prompts.tokens import Tokens
from insignia.randomness import KeyedRandom
from insignia.suspects.scoring import Example

__all__ = ["REPLY_TOKENS", "ReferenceSamples", "own_texts"]

_SAMPLING_BATCH = 256
REPLY_TOKENS = 2  # length of the reply to a preserved prompt; the first token decides whether it activates a fingerprint
_PRESERVED_SHARE = 2  # one row in two comes from a preserved prompt, if there are any


class ReferenceSamples:
    """``count`` samples of ``length`` tokens, at most the context, from a model as it is now, and what it says at each token.

    ``preserved`` are prompts on which the model must keep the base's reply, for example near misses of keys.
    """

    def __init__(
        self, local: LocalModel, *, count: int, length: int, seed: int, preserved: Sequence[tuple[int, ...]] = ()
    ) -> None:
        start = _start(local)
        self.start = len(start)
        """Number of tokens before a sample; a preserved prompt has more."""
        self._rows = _sample(local, [start] * count, _fitting(local, length) - len(start), seed, "anchors")
        self._preserved = _sample(local, preserved, REPLY_TOKENS, seed, "guarded") if preserved else []
        self._base = ReferenceCache(local.model, [*self._rows, *self._preserved])
        self._rng = torch.Generator().manual_seed(seed)

    def draw(self, count: int) -> list[Example]:
        """Draw ``count`` rows with replacement; the sampled tokens are the response."""
        preserved = -(-count // _PRESERVED_SHARE) if self._preserved else 0
        return self._pick(self._rows, count - preserved) + self._pick(self._preserved, preserved)

    def state(self) -> str:
        """Where drawing is, for ``restore``."""
        return bytes(self._rng.get_state().tolist()).hex()

    def restore(self, state: str) -> None:
        """Draw what would have come next at ``state``."""
        self._rng.set_state(torch.tensor(list(bytes.fromhex(state)), dtype=torch.uint8))

    def divergence(self, model: PreTrainedModel, rows: Sequence[Example]) -> Tensor:
        """KL(base || model) in nats per token, averaged over the response of each row, then over rows."""
        return self._base.divergence(model, rows)

    def _pick(self, rows: Sequence[Example], count: int) -> list[Example]:
        return [rows[number] for number in torch.randint(max(1, len(rows)), (count,), generator=self._rng).tolist()]


def own_texts(local: LocalModel, *, count: int, length: int, seed: int) -> list[Example]:
    """Sample texts of ``length`` tokens, at most the context; they differ from the reference samples of the same seed."""
    start = _start(local)
    return _sample(local, [start] * count, _fitting(local, length) - len(start), seed, "own")


def _fitting(local: LocalModel, length: int) -> int:
    return length if local.context_length is None else min(length, local.context_length)


def _start(local: LocalModel) -> tuple[int, ...]:
    """Tokens that a document starts with."""
    tokenizer = local.tokenizer
    prefix = Tokens(tokenizer).prefix
    if prefix:
        return prefix
    # Tokenizers without BOS separate documents by EOS.
    return (next((index for index in (tokenizer.bos_token_id, tokenizer.eos_token_id) if index is not None), 0),)


def _sample(local: LocalModel, questions: Sequence[tuple[int, ...]], length: int, seed: int, label: str) -> list[Example]:
    """Continue every question by ``length`` tokens at temperature 1."""
    # Ids beyond the tokenizer pad the embedding and have no text.
    forbidden = [*local.tokenizer.all_special_ids, *range(len(local.tokenizer), embedding_rows(local.model))]
    rng = KeyedRandom(f"{label} {seed}".encode())  # repeatable, not secret
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
