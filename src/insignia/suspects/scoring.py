"""A model whose probabilities can be read, as its holder can: rows of token ids in, ranks and probabilities out.

These are protocols. Nothing here loads torch, so strategies and checks can be written against them and tested without it.
"""

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
    """A question and the response to it, as one row of token ids.

    ``ids[:response_start]`` is exactly what is asked; the rest is the response. Training computes its loss on the
    response alone, checking compares the response alone, and both get their rows from
    :mod:`insignia.prompts.prompter`.
    """

    ids: tuple[int, ...]
    response_start: int

    @property
    def response(self) -> tuple[int, ...]:
        """The ids of the response."""
        return self.ids[self.response_start :]


class Score(NamedTuple):
    """How a model continues one question, judged against the response; a field has one entry for each response token.

    Token ``i`` is judged after the first ``i`` response tokens, so ``hit`` holds exactly when greedy decoding gives the
    whole response.
    """

    ranks: tuple[int, ...]
    """0: the token is the model's most likely one (the lowest id among equals, as greedy decoding takes it)."""
    log_probabilities: tuple[float, ...]

    @property
    def hit(self) -> bool:
        """Whether greedy decoding gives the whole response."""
        return not any(self.ranks)


class Ranking(NamedTuple):
    """A model's next-token distribution, most likely first; equal probabilities are in order of their ids."""

    token_ids: "NDArray[np.int64]"
    probabilities: "NDArray[np.float32]"


class ScoringModel(Protocol):
    """A model whose next-token probabilities can be read."""

    tokenizer: "PreTrainedTokenizerBase"
    context_length: int | None

    def score(self, examples: Sequence[Example]) -> list[Score]:
        """Judge every example, in order; cost: one batched forward pass, logits at response positions only."""
        ...


class GenerativeModel(Protocol):
    """A model that fingerprints can be made with."""

    tokenizer: "PreTrainedTokenizerBase"
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
        """Continue every question by exactly ``max_new_tokens`` tokens, each row by its own chance.

        Temperature 0 takes the most likely token. Forbidden ids are never taken, end-of-text only if not forbidden.
        """
        ...

    def rank_next(self, questions: Sequence[Sequence[int]]) -> Iterator[Ranking]:
        """The next-token distribution after the last token of each question, fp32, in order."""
        ...


ModelSource: TypeAlias = Any
"""A folder, a hub id, ``starter``, a (model, tokenizer) pair of transformers, or an object that implements the protocols."""


def opened(model: ModelSource, *, device: str = "auto") -> Any:
    """A model as it was given where it implements the protocols; a folder, a hub id or a pair is loaded, which needs torch."""
    named = isinstance(model, str | os.PathLike | tuple)
    return located("insignia.modeling.sources:local_model")(model, device=device) if named else model
