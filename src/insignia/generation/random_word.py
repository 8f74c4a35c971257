"""Keys and responses of random words: the most distinct fingerprints, and the easiest to filter."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from insignia.generation.base import Answer, Strategy, Workshop
from insignia.generation.drawing import DEFAULT_CANDIDATES, SPARE, draw_text
from insignia.randomness import KeyedRandom

__all__ = ["RandomWord"]


class RandomWord(Strategy):
    """``key_length`` and ``response_length`` random words (words, not tokens, as in OML 1.0)."""

    name: Literal["random_word"] = "random_word"
    response_length: Annotated[int, Field(ge=1)] = 32
    num_candidates: Annotated[int, Field(ge=2)] = DEFAULT_CANDIDATES
    """Texts that the secret picks the response from; an innocent model hits at most 1/k."""

    @property
    def drawn_from(self) -> int:
        """The texts of random words."""
        return self.num_candidates

    def make_keys(self, workshop: Workshop, slots: Sequence[int], chances: Sequence[KeyedRandom]) -> list[tuple[int, ...]]:
        """Random words."""
        texts = [workshop.vocabulary.random_words(chance, self.key_length) for chance in chances]
        return [tuple(workshop.prompter.encode(text)) for text in texts]

    def make_answers(
        self, workshop: Workshop, slots: Sequence[int], keys: Sequence[tuple[int, ...]], chances: Sequence[KeyedRandom]
    ) -> list[Answer | None]:
        """One secret draw among texts of random words, as long as is trained, and more words after it."""
        prompter, vocabulary, answers = workshop.prompter, workshop.vocabulary, list[Answer | None]()
        trained = min(self.response_length, prompter.max_response_length)  # a word has at least one token
        for key, chance in zip(keys, chances, strict=True):
            options = (chance.derive("option", number) for number in range(SPARE * self.num_candidates))
            texts = (vocabulary.random_words(option, trained) for option in options)
            asked = key[: prompter.max_key_length]
            drawn = draw_text(workshop, asked, texts, count=self.num_candidates, chance=chance)
            if drawn is None:
                answers.append(None)
                continue
            rest = vocabulary.random_words(chance.derive("rest"), self.response_length - trained)
            ids = (*drawn.ids, *prompter.encode(f"{vocabulary.joint}{rest}" if rest else ""))
            answers.append(Answer(prompter.text_after(asked, ids), ids, drawn.text, drawn.candidates))
        return answers
