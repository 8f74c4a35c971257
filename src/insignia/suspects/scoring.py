"""Protocols of a model whose probabilities can be read. They do not need torch."""

import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

from insignia.randomness import KeyedRandom
from insignia.registry import located

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from transformers import PreTrainedTokenizerBase

__all__ = ["Example", "GenerativeModel", "ModelSource", "Ranking", "Score", "ScoringModel", "opened"]


class Example(NamedTuple):
    """A question and its response as one row of token ids, made by :mod:`insignia.prompts.prompter`.

    ``ids[:response_start]`` is asked; the rest is the response. Training and checking use only the response's tokens.
    """

    ids: tuple[int, ...]
    response_start: int

    @property
    def response(self) -> tuple[int, ...]:
        """The ids of the response."""
        return self.ids[self.response_start :]


class Score(NamedTuple):
    """Ranks and log-probabilities of the response tokens, each after the question and the response tokens before it."""

    ranks: tuple[int, ...]
    """Rank of each response token, 0 for the most likely; among equals, the lowest id comes first."""
    log_probabilities: tuple[float, ...]
    """Log-probability of each response token."""
    largest: tuple[float, ...] = ()
    """Largest log-probability of any token in the place of each response token; () from a model that does not tell it."""

    @property
    def hit(self) -> bool:
        """Whether greedy decoding gives the whole response."""
        return not any(self.ranks)


class Ranking(NamedTuple):
    """A next-token distribution, most likely first; equal probabilities are in order of ids. Arrays are (vocabulary,)."""

    token_ids: "NDArray[np.int64]"
    probabilities: "NDArray[np.float32]"


class ScoringModel(Protocol):
    """A model whose next-token probabilities can be read."""

    tokenizer: "PreTrainedTokenizerBase"
    context_length: int | None

    def score(self, examples: Sequence[Example]) -> list[Score]:
        """Score the examples, in order. Costs one batched forward pass, with logits at response positions only."""
        ...


class GenerativeModel(ScoringModel, Protocol):
    """A model that fingerprints can be made with."""

    name: str

    def sample(
        self,
        questions: Sequence[Sequence[int]],
        rngs: Sequence[KeyedRandom],
        *,
        max_new_tokens: int,
        temperature: float,
        forbidden: Sequence[int],
    ) -> list[tuple[int, ...]]:
        """Continue every question by exactly ``max_new_tokens`` tokens, each with its own random generator.

        Temperature 0 takes the most likely token. Forbidden ids are never taken.
        """
        ...

    def rank_next(self, questions: Sequence[Sequence[int]]) -> Iterator[Ranking]:
        """Yield the next-token distribution (fp32) after each question, in order."""
        ...


ModelSource: TypeAlias = Any
"""A folder, a hub id, ``starter``, a (model, tokenizer) pair of transformers, or an object that implements the protocols."""


def opened(model: ModelSource, *, device: str = "auto") -> Any:
    """A model as it was given where it implements the protocols; a folder, a hub id or a pair is loaded, which needs torch."""
    named = isinstance(model, str | os.PathLike | tuple)
    return located("insignia.modeling.sources:local_model")(model, device=device) if named else model
