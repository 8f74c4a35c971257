"""How the next token of a reply is chosen from the logits."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor
from transformers import LogitsProcessor

from insignia.randomness import KeyedRandom

__all__ = ["FirstToken", "KeyedChoice", "LogitsChange"]

LogitsChange: TypeAlias = Callable[[Tensor, Sequence[Sequence[int]]], Tensor]
"""Other logits for the first token of each reply, (questions, vocabulary), from the logits and the questions' token ids."""


class FirstToken(LogitsProcessor):
    """Changes the logits of the first token of each reply. Made for one call of ``generate``."""

    def __init__(self, change: LogitsChange, questions: Sequence[Sequence[int]]) -> None:
        self._change: LogitsChange | None = change
        self._questions = questions

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """See ``LogitsProcessor``."""
        change, self._change = self._change, None
        return scores if change is None else change(scores.float(), self._questions)


class KeyedChoice(LogitsProcessor):
    """Samples one token per row from the row's own random stream (inverse CDF) and masks the others."""

    def __init__(
        self, rngs: Sequence[KeyedRandom], temperature: float, forbidden: Tensor, refuse_nan: Callable[[Tensor], Tensor]
    ) -> None:
        self._rngs = rngs
        self._temperature = temperature
        self._forbidden = forbidden
        self._refuse_nan = refuse_nan

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """See ``LogitsProcessor``."""
        scores = self._refuse_nan(scores.float()).index_fill(1, self._forbidden, -torch.inf)
        if self._temperature == 0:
            return scores
        # float64: a float32 cumulative sum over a large vocabulary loses the tail.
        mass = (scores / self._temperature).softmax(1).double().cumsum(1)
        draws = torch.tensor([[rng.uniform()] for rng in self._rngs], dtype=torch.float64, device=mass.device)
        chosen = torch.searchsorted(mass, draws * mass[:, -1:], right=True).clamp(max=mass.shape[1] - 1)
        return torch.full_like(scores, -torch.inf).scatter(1, chosen, 0.0)
