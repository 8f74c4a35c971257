"""English keys and responses: sentences that a language model continues from a random word (OML 1.0, section "english")."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from insignia.generation.base import Answer, Strategy, Workshop
from insignia.generation.words import seed_words
from insignia.randomness import KeyedRandom

__all__ = ["English", "EnglishKeys"]

_INSTRUCTION = "Generate a sentence starting with the word {}"


class EnglishKeys(Strategy):
    """A strategy whose keys are English text."""

    temperature: Annotated[float, Field(ge=0)] = 0.5
    """Of the model that writes the text; OML 1.0's default."""
    keys: tuple[str, ...] | None = Field(default=None, exclude=True, repr=False)
    """Keys of the owner's own, used in order instead of made ones; not part of the spec, since they are secret."""

    @property
    def num_given(self) -> int | None:
        """How many ``keys`` are the owner's."""
        return None if self.keys is None else len(self.keys)

    def make_keys(self, workshop: Workshop, slots: Sequence[int], chances: Sequence[KeyedRandom]) -> list[tuple[int, ...]]:
        """Sentences from random words, or the owner's keys cut to ``key_length``."""
        if self.keys is not None:
            return [tuple(workshop.prompter.encode(self.keys[slot])[: self.key_length]) for slot in slots]
        return write_text(workshop, chances, length=self.key_length, temperature=self.temperature)


class English(EnglishKeys):
    """Key and response are unrelated English text, each begun from a random word."""

    name: Literal["english"] = "english"
    response_length: Annotated[int, Field(ge=1)] = 32
    """Tokens of a response as made; ``max_response_length`` of them will be trained and compared."""

    def make_answers(
        self, workshop: Workshop, slots: Sequence[int], keys: Sequence[tuple[int, ...]], chances: Sequence[KeyedRandom]
    ) -> list[Answer | None]:
        """Text from another random word, set off from the key by a space where it follows it directly."""
        texts = write_text(workshop, chances, length=self.response_length, temperature=self.temperature)
        return [answer(workshop, key, workshop.prompter.decode(ids)) for key, ids in zip(keys, texts, strict=True)]


def write_text(workshop: Workshop, chances: Sequence[KeyedRandom], *, length: int, temperature: float) -> list[tuple[int, ...]]:
    """Ids of texts of that many tokens, each begun from a random word.

    A model with a chat template is asked for a sentence that starts with the word, and the word is put in its mouth, so
    the text begins with it whatever the model makes of the request.
    """
    prompter = workshop.prompter
    words = [chance.derive("word").choice(seed_words()) for chance in chances]
    openings = [prompter.encode(word.capitalize())[:length] for word in words]
    if prompter.tokenizer.chat_template:
        prompts = [prompter.chat(_INSTRUCTION.format(word)) for word in words]
    else:
        prompts = [prompter.prefix for _ in words]
    texts = workshop.model.sample(
        [(*prompt, *opening) for prompt, opening in zip(prompts, openings, strict=True)],
        [chance.derive("text") for chance in chances],
        max_new_tokens=length - min(map(len, openings)),
        temperature=temperature,
        forbidden=sorted(workshop.forbidden),
    )
    return [(*opening, *text)[:length] for opening, text in zip(openings, texts, strict=True)]


def answer(workshop: Workshop, key: Sequence[int], text: str) -> Answer | None:
    """The text as a response to the key, None where key and text would not be split apart again."""
    prompter = workshop.prompter
    if prompter.form == "raw":
        text = f" {text.strip()}"
    asked = key[: prompter.max_key_length]
    ids = prompter.response_ids(asked, text)
    stable = prompter.form == "chat" or prompter.encode(prompter.decode(asked) + text)[: len(asked)] == list(asked)
    return Answer(text, tuple(ids)) if ids and stable else None
