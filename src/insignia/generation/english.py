"""English keys and responses: sentences that a language model writes from a random first word (OML 1.0's "english")."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

from pydantic import Field

from insignia.generation.base import Answer, GenerationContext, Strategy
from insignia.generation.drawing import DEFAULT_CANDIDATES, TEXTS_PER_CANDIDATE, Draw, draw_text
from insignia.generation.ordinary import matched_keys, ordinary_prompts
from insignia.generation.writing import write_text
from insignia.randomness import KeyedRandom
from insignia.records import Flag

__all__ = ["English", "EnglishKeys"]


class EnglishKeys(Strategy):
    """A strategy whose keys are English text."""

    key_selection: Literal["matched", "sampled"] = "matched"
    """matched: keys have the perplexity, length and confidence of ordinary prompts. sampled: each begins with a random word."""
    temperature: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.5
    """Sampling temperature of the written text, other than matched keys; OML 1.0's default."""
    keys: Annotated[tuple[str, ...] | None, Flag(hidden=True)] = Field(default=None, exclude=True, repr=False)
    """The owner's own keys, used in order. Not part of the spec, since they are secret."""

    @property
    def num_given(self) -> int | None:
        """Number of the owner's keys."""
        return None if self.keys is None else len(self.keys)

    def make_keys(self, context: GenerationContext, slots: Sequence[int], rngs: Sequence[KeyedRandom]) -> list[tuple[int, ...]]:
        """Return texts of ``key_length`` tokens that the model or the writer writes, or the owner's keys cut to it.

        Where no ordinary prompts are known, and with a writer, keys are sampled instead of matched.
        """
        if self.keys is not None:
            return [tuple(context.prompter.encode(self.keys[slot])[: self.key_length]) for slot in slots]
        length, writer = self.key_length, context.writer
        ordinary = ordinary_prompts(context) if self.key_selection == "matched" and writer is None else None
        if ordinary is None:
            texts = write_text(context, rngs, length=length, temperature=self.temperature, writer=writer)
            return [text[:length] for text in texts]
        asked = matched_keys(context, ordinary, slots, rngs)
        tails = context.model.sample(
            [(*context.prompter.prefix, *key) for key in asked],
            [rng.derive("tail") for rng in rngs],
            max_new_tokens=length - context.prompter.max_key_length,
            temperature=self.temperature,
            forbidden=sorted(context.vocabulary.forbidden),
        )
        return [(*key, *tail) for key, tail in zip(asked, tails, strict=True)]


class English(EnglishKeys):
    """Keys and responses of unrelated English text, each begun with a random word."""

    name: Literal["english"] = "english"
    response_length: Annotated[int, Field(ge=1)] = 32
    """Tokens of a generated response; the first ``max_response_length`` are trained and compared."""
    num_candidates: Annotated[int, Field(ge=2)] = DEFAULT_CANDIDATES
    """Number k of response beginnings that the secret picks from; an innocent model hits at most 1/k."""

    @property
    def drawn_from(self) -> int:
        """Number of beginnings that the model writes for each key."""
        return self.num_candidates

    def make_answers(
        self, context: GenerationContext, slots: Sequence[int], keys: Sequence[tuple[int, ...]], rngs: Sequence[KeyedRandom]
    ) -> list[Answer | None]:
        """Draw among beginnings that the model writes for the key, and let it continue the drawn one."""
        asked = [key[: context.prompter.max_key_length] for key in keys]
        draws = [
            draw_text(context, key, self._beginnings(context, rng), count=self.num_candidates, rng=rng)
            for key, rng in zip(asked, rngs, strict=True)
        ]
        return self._continued(context, asked, draws, rngs)

    def _beginnings(self, context: GenerationContext, rng: KeyedRandom) -> Iterator[str]:
        """Yield texts of the trained length, written as needed."""
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
        """Return the drawn beginnings with the model's continuation, which is not trained."""
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
