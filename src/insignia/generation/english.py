"""English keys and responses: sentences that a language model continues from a random word (OML 1.0, section "english")."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

from pydantic import Field

from insignia.generation.base import Answer, GenerationContext, Strategy
from insignia.generation.drawing import DEFAULT_CANDIDATES, TEXTS_PER_CANDIDATE, Draw, draw_text
from insignia.generation.writing import write_text
from insignia.randomness import KeyedRandom

__all__ = ["English", "EnglishKeys"]


class EnglishKeys(Strategy):
    """A strategy whose keys are English text."""

    temperature: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.5
    """Temperature of the model that writes the text; OML 1.0's default."""
    keys: tuple[str, ...] | None = Field(default=None, exclude=True, repr=False)
    """Keys of the owner's own, used in order instead of made ones; not part of the spec, since they are secret."""

    @property
    def num_given(self) -> int | None:
        """How many ``keys`` are the owner's."""
        return None if self.keys is None else len(self.keys)

    def make_keys(self, context: GenerationContext, slots: Sequence[int], rngs: Sequence[KeyedRandom]) -> list[tuple[int, ...]]:
        """Sentences from random words, or the owner's keys cut to ``key_length``."""
        if self.keys is not None:
            return [tuple(context.prompter.encode(self.keys[slot])[: self.key_length]) for slot in slots]
        length, writer = self.key_length, context.writer
        texts = write_text(context, rngs, length=length, temperature=self.temperature, writer=writer)
        return [text[:length] for text in texts]


class English(EnglishKeys):
    """Key and response are unrelated English text, each begun from a random word."""

    name: Literal["english"] = "english"
    response_length: Annotated[int, Field(ge=1)] = 32
    """Tokens of a response as made; ``max_response_length`` of them will be trained and compared."""
    num_candidates: Annotated[int, Field(ge=2)] = DEFAULT_CANDIDATES
    """Beginnings of responses that the secret picks one of; an innocent model hits at most 1/k."""

    @property
    def drawn_from(self) -> int:
        """The beginnings that the model wrote."""
        return self.num_candidates

    def make_answers(
        self, context: GenerationContext, slots: Sequence[int], keys: Sequence[tuple[int, ...]], rngs: Sequence[KeyedRandom]
    ) -> list[Answer | None]:
        """One secret draw among beginnings that the model writes for the key, continued to the whole length."""
        asked = [key[: context.prompter.max_key_length] for key in keys]
        draws = [
            draw_text(context, key, self._beginnings(context, rng), count=self.num_candidates, rng=rng)
            for key, rng in zip(asked, rngs, strict=True)
        ]
        return self._continued(context, asked, draws, rngs)

    def _beginnings(self, context: GenerationContext, rng: KeyedRandom) -> Iterator[str]:
        """Texts as long as is trained, written as they are needed."""
        at_once = 2 * self.num_candidates
        for first in range(0, TEXTS_PER_CANDIDATE * self.num_candidates, at_once):
            rngs = [rng.derive("option", number) for number in range(first, first + at_once)]
            length = context.prompter.max_response_length
            for ids in write_text(context, rngs, length=length, temperature=self.temperature):
                yield context.prompter.decode(ids)

    def _continued(
        self,
        context: GenerationContext,
        keys: Sequence[tuple[int, ...]],
        draws: Sequence[Draw | None],
        rngs: Sequence[KeyedRandom],
    ) -> list[Answer | None]:
        """The drawn beginnings with what the model goes on to write, which is not trained."""
        prompter = context.prompter
        made = [(place, drawn) for place, drawn in enumerate(draws) if drawn is not None]
        tails = context.model.sample(
            [(*prompter.prefix, *drawn.ids) for _, drawn in made],
            [rngs[place].derive("rest") for place, _ in made],
            max_new_tokens=max(0, self.response_length - prompter.max_response_length),
            temperature=self.temperature,
            forbidden=sorted(context.vocabulary.forbidden),
        )
        answers: list[Answer | None] = [None] * len(draws)
        for (place, drawn), tail in zip(made, tails, strict=True):
            ids = (*drawn.ids, *tail)
            answers[place] = Answer(prompter.text_after(keys[place], ids), ids, drawn.text, drawn.candidates)
        return answers
