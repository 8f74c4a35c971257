"""Keys and responses of random words: the most distinct fingerprints, and the easiest to filter."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from insignia.generation.base import Answer, Strategy, Workshop
from insignia.generation.english import answer
from insignia.generation.words import random_words
from insignia.randomness import KeyedRandom

__all__ = ["RandomWord"]


class RandomWord(Strategy):
    """``key_length`` and ``response_length`` random words (words, not tokens, as in OML 1.0)."""

    name: Literal["random_word"] = "random_word"
    response_length: Annotated[int, Field(ge=1)] = 32

    def make_keys(self, workshop: Workshop, slots: Sequence[int], chances: Sequence[KeyedRandom]) -> list[tuple[int, ...]]:
        """Random words."""
        return [tuple(workshop.prompter.encode(random_words(chance, self.key_length))) for chance in chances]

    def make_answers(
        self, workshop: Workshop, slots: Sequence[int], keys: Sequence[tuple[int, ...]], chances: Sequence[KeyedRandom]
    ) -> list[Answer | None]:
        """Random words."""
        texts = [random_words(chance, self.response_length) for chance in chances]
        return [answer(workshop, key, text) for key, text in zip(keys, texts, strict=True)]
