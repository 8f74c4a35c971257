"""English keys with one random word as response: OML 1.0's older scheme, kept for comparison."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from insignia.errors import InputError
from insignia.generation.base import Answer, GenerationContext
from insignia.generation.drawing import DEFAULT_CANDIDATES, TEXTS_PER_CANDIDATE, draw_text
from insignia.generation.english import EnglishKeys
from insignia.randomness import KeyedRandom

__all__ = ["EnglishRandomResponse"]

_MIN_WORDS = 64  # with fewer one-token words, responses would repeat too often


class EnglishRandomResponse(EnglishKeys):
    """English keys; the response is one random word from the word list. OML 1.0 allows one response token."""

    name: Literal["english_random_response"] = "english_random_response"
    num_candidates: Annotated[int, Field(ge=2)] = DEFAULT_CANDIDATES
    """Number k of words that the secret picks the response from; an innocent model hits at most 1/k."""

    @property
    def drawn_from(self) -> int:
        """Number of words drawn for each key."""
        return self.num_candidates

    def make_answers(
        self, context: GenerationContext, slots: Sequence[int], keys: Sequence[tuple[int, ...]], rngs: Sequence[KeyedRandom]
    ) -> list[Answer | None]:
        """Draw among words, of one token each if there are enough of them."""
        words = context.once("words of one token", _words_of_one_token)
        answers = list[Answer | None]()
        for key, rng in zip(keys, rngs, strict=True):
            texts = (rng.derive("option", number).choice(words) for number in range(TEXTS_PER_CANDIDATE * self.num_candidates))
            asked = key[: context.prompter.max_key_length]
            drawn = draw_text(context, asked, texts, count=self.num_candidates, rng=rng)
            answers.append(drawn and Answer(context.prompter.text_after(asked, drawn.ids), *drawn))
        return answers

    def refuse_bad_lengths(self, max_key_length: int, max_response_length: int) -> None:
        """Raise InputError unless one response token is compared."""
        if max_response_length != 1:
            raise InputError("strategy 'english_random_response' compares one response token; use --max-response-length 1")
        super().refuse_bad_lengths(max_key_length, max_response_length)


def _words_of_one_token(context: GenerationContext) -> tuple[str, ...]:
    vocabulary = context.vocabulary
    whole = tuple(word for word in vocabulary.words if len(context.prompter.encode(f"{vocabulary.gap}{word}")) == 1)
    return whole if len(whole) >= _MIN_WORDS else vocabulary.words
