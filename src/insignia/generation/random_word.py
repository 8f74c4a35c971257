"""Keys and responses of random words: very distinct, but easy to filter."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from insignia.generation.base import Answer, GenerationContext, Strategy
from insignia.generation.drawing import DEFAULT_CANDIDATES, TEXTS_PER_CANDIDATE, draw_text
from insignia.randomness import KeyedRandom

__all__ = ["RandomWord"]


class RandomWord(Strategy):
    """Keys and responses of ``key_length`` and ``response_length`` random words (words, not tokens, as in OML 1.0)."""

    name: Literal["random_word"] = "random_word"
    response_length: Annotated[int, Field(ge=1)] = 32
    """Words of a response; the first ``max_response_length`` tokens are trained and compared."""
    num_candidates: Annotated[int, Field(ge=2)] = DEFAULT_CANDIDATES
    """Number k of texts that the secret picks the response from; an innocent model hits at most 1/k."""

    @property
    def drawn_from(self) -> int:
        """Number of texts drawn for each key."""
        return self.num_candidates

    def make_keys(self, context: GenerationContext, slots: Sequence[int], rngs: Sequence[KeyedRandom]) -> list[tuple[int, ...]]:
        """Return texts of random words."""
        texts = [context.vocabulary.random_words(rng, self.key_length) for rng in rngs]
        return [tuple(context.prompter.encode(text)) for text in texts]

    def make_answers(
        self, context: GenerationContext, slots: Sequence[int], keys: Sequence[tuple[int, ...]], rngs: Sequence[KeyedRandom]
    ) -> list[Answer | None]:
        """Draw among texts of random words and append more words to the drawn one."""
        prompter, vocabulary, answers = context.prompter, context.vocabulary, list[Answer | None]()
        trained = min(self.response_length, prompter.max_response_length)  # a word has at least one token
        for key, rng in zip(keys, rngs, strict=True):
            options = (rng.derive("option", number) for number in range(TEXTS_PER_CANDIDATE * self.num_candidates))
            texts = (vocabulary.random_words(option, trained) for option in options)
            asked = key[: prompter.max_key_length]
            drawn = draw_text(context, asked, texts, count=self.num_candidates, rng=rng)
            if drawn is None:
                answers.append(None)
                continue
            rest = vocabulary.random_words(rng.derive("rest"), self.response_length - trained)
            ids = (*drawn.ids, *prompter.encode(f"{vocabulary.joint}{rest}" if rest else ""))
            answers.append(Answer(prompter.text_after(asked, ids), ids, drawn.text, drawn.candidates))
        return answers
