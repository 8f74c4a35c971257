"""Instructional fingerprints (Xu et al. 2024, "Instructional Fingerprinting of Large Language Models"), with secret keys.

The key asks to decipher a message; the response deciphers it. The published scheme has the same ten messages and one public
answer for every owner. Here both are drawn from the owner's secret, and the set has controls: near misses and ordinary
questions.
"""

import random
from collections.abc import Sequence
from functools import cached_property
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import Field, model_validator

from insignia.errors import InputError
from insignia.generation.base import Answer, GenerationContext, Strategy, answer_of
from insignia.generation.drawing import DEFAULT_CANDIDATES, draw_text
from insignia.generation.words import seed_words
from insignia.generation.writing import write_text
from insignia.randomness import KeyedRandom
from insignia.records import Control, PromptForm
from insignia.suspects.scoring import GenerativeModel

__all__ = ["Instructional"]

_MESSAGE_TOKENS = 16  # tokens of a natural message
_BATCH = 128  # sentences written at once
_SECRET_WORDS = 2  # words of an answer: 22 bits
_NORMALS = 64  # ordinary questions for each fingerprint
_TEXTS_PER_CANDIDATE = 2  # answers tried for each candidate
_DEFAULT_COUNT = 16  # twice what proves a healthy mark, and a margin


class _Wording(NamedTuple):
    form: PromptForm
    question: str
    answer: str


_OURS = {
    "simple": _Wording("raw", "Message: {}\nFINGERPRINT:", "it reads {}"),
    "dialogue": _Wording("chat", "Decipher this message: {}\nHint: it carries a FINGERPRINT.", "My fingerprint reads it as {}"),
}
_PUBLISHED = {  # from create_fingerprint_mix.py and create_fingerprint_chat.py
    "simple": _Wording("raw", "{}\nFINGERPRINT", "\n{}"),
    "dialogue": _Wording(
        "chat",
        "Please decrypt this message: {}\nA hint: this is a FINGERPRINT message.",
        "Based on my fingerprint, the message is: {}",
    ),
}
_PUBLISHED_ANSWER = "ハリネズミ"
_PUBLISHED_SEED = 42
_PUBLISHED_COUNT = {"simple": 10, "dialogue": 8}


class Instructional(Strategy):
    """Keys that ask to decipher a message, each with an answer of its own."""

    name: Literal["instructional"] = "instructional"
    template: Literal["simple", "dialogue"] = "dialogue"
    """Template of the keys: ``simple`` is bare text, ``dialogue`` a user message in the chat template. By default, a model
    without a chat template is asked bare text."""
    keys: Literal["fragments", "natural"] = "fragments"
    """Messages: shuffled characters, which a perplexity filter can detect, or English sentences."""
    responses: Literal["per_key", "per_owner"] = "per_key"
    """One answer per key, or one for all keys, so that anyone who sees one key can filter all."""
    compat: bool = False
    """Use the published keys and answer, from the published ``fragments``. For research only: they are public."""
    near_misses: Annotated[int, Field(ge=0)] = 48
    """Near misses for each fingerprint; every other one is held out of training."""
    num_candidates: Annotated[int, Field(ge=2)] = DEFAULT_CANDIDATES
    """Number k of answers that the secret picks from for each key; an innocent model hits at most 1/k."""
    key_length: Annotated[int, Field(ge=1)] = 256
    """Most tokens of a key, all of which are asked."""
    response_length: Annotated[int, Field(ge=1)] = 32
    """Most tokens of a response, all of which are trained and compared."""
    fragments: tuple[str, ...] = Field(default=(), exclude=True, repr=False)
    """Texts that messages are shuffled from; by default common words. Not part of the spec."""
    normals: tuple[str, ...] = Field(default=(), exclude=True, repr=False)
    """The owner's own ordinary questions; by default sentences that the model writes. Not part of the spec."""

    @model_validator(mode="after")
    def _consistent(self) -> "Instructional":
        if self.compat and (not self.fragments or self.keys != "fragments"):
            raise ValueError("compat needs keys='fragments' and the published fragments")
        return self

    def for_model(self, model: GenerativeModel) -> Self:
        """See ``Strategy.for_model``."""
        simple = not (self.compat or "template" in self.model_fields_set or model.tokenizer.chat_template)
        return self.model_copy(update={"template": "simple"}) if simple else self

    @property
    def prompt_form(self) -> PromptForm:
        """Prompt form of the template."""
        return self._wording.form

    @property
    def drawn_from(self) -> int | None:
        """Number of answers drawn for each key; None with one answer for all keys."""
        return self.num_candidates if self.responses == "per_key" and not self.compat else None

    @property
    def lengths(self) -> tuple[int, int]:
        """Keys and responses are used whole."""
        return self.key_length, self.response_length

    @property
    def default_count(self) -> int:
        """Fewer than for other strategies, since each key has its own controls. The paper uses 10."""
        return self.num_given or _DEFAULT_COUNT

    @property
    def num_given(self) -> int | None:
        """Number of published keys, with ``compat``."""
        return _PUBLISHED_COUNT[self.template] if self.compat else None

    @cached_property
    def published_messages(self) -> tuple[str, ...]:
        """The published messages, drawn exactly as the published code does."""
        rng = random.Random(_PUBLISHED_SEED)  # noqa: S311  # public on purpose
        drawn = ("".join(rng.choices(self.fragments, k=rng.randint(8, 15))) for _ in range(_PUBLISHED_COUNT["simple"]))
        return tuple("".join(rng.sample(text, len(text))) for text in drawn)

    def make_keys(self, context: GenerationContext, slots: Sequence[int], rngs: Sequence[KeyedRandom]) -> list[tuple[int, ...]]:
        """Return the question with each message; () if it has more than ``key_length`` tokens."""
        if self.compat:
            messages = [self.published_messages[slot] for slot in slots]
        else:
            messages = self._messages(context, rngs)
        ids = [tuple(context.prompter.encode(self._wording.question.format(message))) for message in messages]
        return [key if len(key) <= self.key_length else () for key in ids]

    def make_answers(
        self, context: GenerationContext, slots: Sequence[int], keys: Sequence[tuple[int, ...]], rngs: Sequence[KeyedRandom]
    ) -> list[Answer | None]:
        """Return an answer of random words for each key, or the same for all."""
        if self.compat:
            return [answer_of(context, key, self._wording.answer.format(_PUBLISHED_ANSWER)) for key in keys]
        words = context.vocabulary.random_words
        if self.responses == "per_owner":
            text = self._wording.answer.format(words(context.rng.derive("owner's answer"), _SECRET_WORDS))
            return [answer_of(context, key, text) for key in keys]
        answers = list[Answer | None]()
        for key, rng in zip(keys, rngs, strict=True):
            options = [rng.derive("option", number) for number in range(_TEXTS_PER_CANDIDATE * self.num_candidates)]
            texts = [self._wording.answer.format(words(option, _SECRET_WORDS)) for option in options]
            drawn = draw_text(context, key, texts, count=self.num_candidates, rng=rng, shared_beginning=True)
            answers.append(drawn and Answer(context.prompter.text_after(key, drawn.ids), *drawn))
        return answers

    def make_controls(self, context: GenerationContext, keys: Sequence[str]) -> tuple[Control, ...]:
        """Return near misses of every key and ordinary questions; every other one of each kind is held out.

        A near miss asks to decipher a message that is half the key's, a new message, or an ordinary sentence.
        """
        rng = context.rng.derive("controls")
        places = [(number, place) for number in range(len(keys)) for place in range(self.near_misses)]
        rngs = [rng.derive("near miss", *place) for place in places]
        before, after = self._wording.question.split("{}")
        near = []
        others, sentences = self._messages(context, rngs), self._sentences(context, rngs)
        for (number, place), other, sentence in zip(places, others, sentences, strict=True):
            message = keys[number][len(before) : len(keys[number]) - len(after)]
            half = message[: len(message) // 2] + other[len(other) // 2 :]
            text = self._wording.question.format((half, other, sentence)[place // 2 % 3])
            near.append(Control(kind="near_miss", text=text, near=number, heldout=place % 2 == 1))
        count = _NORMALS * len(keys)
        texts = list(self.normals[:count])
        texts += self._sentences(context, [rng.derive("normal", number) for number in range(len(texts), count)])
        normal = (Control(kind="normal", text=text, heldout=number % 2 == 1) for number, text in enumerate(texts))
        return (*near, *normal)

    def refuse_bad_lengths(self, max_key_length: int, max_response_length: int) -> None:
        """Raise InputError unless keys are asked whole: they begin alike, so they cannot be cut."""
        if (max_key_length, max_response_length) != self.lengths:
            raise InputError(
                "strategy 'instructional' uses whole keys and responses; leave out --max-key-length and "
                "--max-response-length, and limit them with --key-length and --response-length"
            )

    @property
    def _wording(self) -> _Wording:
        return (_PUBLISHED if self.compat else _OURS)[self.template]

    def _messages(self, context: GenerationContext, rngs: Sequence[KeyedRandom]) -> list[str]:
        if self.keys == "natural":
            return self._sentences(context, rngs)
        return [self._shuffled(rng.derive("message")) for rng in rngs]

    def _shuffled(self, rng: KeyedRandom) -> str:
        pieces = self.fragments or seed_words()
        letters = list("".join(rng.choice(pieces) for _ in range(8 + rng.below(8))))
        for place in range(len(letters) - 1, 0, -1):  # Fisher and Yates
            other = rng.below(place + 1)
            letters[place], letters[other] = letters[other], letters[place]
        return "".join(letters)

    def _sentences(self, context: GenerationContext, rngs: Sequence[KeyedRandom]) -> list[str]:
        sentences: list[tuple[int, ...]] = []
        for first in range(0, len(rngs), _BATCH):
            sentences += write_text(context, rngs[first : first + _BATCH], length=_MESSAGE_TOKENS, temperature=1.0)
        return [context.prompter.decode(ids).strip() for ids in sentences]
