"""The owner's own keys and responses."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from insignia.generation.base import Answer, GenerationContext, Strategy, answer_of
from insignia.randomness import KeyedRandom
from insignia.records import Flag

__all__ = ["Own"]


class Own(Strategy):
    """Keys and responses from a file, unchanged. They are not drawn at random, so there is no design null."""

    name: Literal["own"] = "own"
    key_length: Annotated[int, Flag(hidden=True)] = 2**16
    pairs: Annotated[tuple[tuple[str, str], ...], Flag(hidden=True)] = Field(default=(), exclude=True, repr=False)
    """(key, response) pairs. Not part of the spec, since they are secret."""

    @property
    def num_given(self) -> int:
        """Number of pairs."""
        return len(self.pairs)

    def make_keys(self, context: GenerationContext, slots: Sequence[int], rngs: Sequence[KeyedRandom]) -> list[tuple[int, ...]]:
        """Return the given keys."""
        return [tuple(context.prompter.encode(self.pairs[slot][0])[: self.key_length]) for slot in slots]

    def make_answers(
        self, context: GenerationContext, slots: Sequence[int], keys: Sequence[tuple[int, ...]], rngs: Sequence[KeyedRandom]
    ) -> list[Answer | None]:
        """Return the given responses; None for one whose trained tokens have no text of their own."""
        return [answer_of(context, key, self.pairs[slot][1]) for slot, key in zip(slots, keys, strict=True)]
