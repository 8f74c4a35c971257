"""English keys answered by one random word: OML 1.0's harder, older scheme, kept for comparison."""

from collections.abc import Sequence
from functools import cache
from typing import Literal

from insignia.errors import InputError
from insignia.generation.base import Answer, Workshop
from insignia.generation.english import EnglishKeys, answer
from insignia.generation.words import seed_words
from insignia.models.prompts import Prompter
from insignia.randomness import KeyedRandom

__all__ = ["EnglishRandomResponse"]

_MIN_WORDS = 64  # fewer whole-word responses than this, and they would concentrate


class EnglishRandomResponse(EnglishKeys):
    """The response is one word drawn from the word list, whatever the key; OML 1.0 allows one response token."""

    name: Literal["english_random_response"] = "english_random_response"

    def make_answers(
        self, workshop: Workshop, slots: Sequence[int], keys: Sequence[tuple[int, ...]], chances: Sequence[KeyedRandom]
    ) -> list[Answer | None]:
        """One word, among those that are no longer than what will be compared where there are enough of them."""
        words = _words_of_length(workshop.prompter, workshop.prompter.max_response_length)
        return [answer(workshop, key, chance.choice(words)) for key, chance in zip(keys, chances, strict=True)]

    def refuse_bad_lengths(self, max_key_length: int, max_response_length: int) -> None:
        """Only one response token is defined for this scheme."""
        if max_response_length != 1:
            raise InputError("strategy 'english_random_response' compares one response token; use --max-response-length 1")
        super().refuse_bad_lengths(max_key_length, max_response_length)


@cache
def _words_of_length(prompter: Prompter, length: int) -> tuple[str, ...]:
    whole = tuple(word for word in seed_words() if len(prompter.encode(f" {word}")) <= length)
    return whole if len(whole) >= _MIN_WORDS else seed_words()
