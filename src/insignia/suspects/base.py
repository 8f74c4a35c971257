"""A model that can be asked by text, as anybody can: what a question asks for, and what became of it."""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Annotated, Literal, Protocol, Self

from pydantic import Field

from insignia.records import Conversation, Part, PromptForm, Record, Turn
from insignia.registry import Registry

__all__ = ["SUSPECTS", "Alternative", "Reply", "RequestOptions", "Suspect", "TextModel"]

_EMPTY = "empty"


class RequestOptions(Record):
    """How every question of a run is put: a part of the evidence, since another manner gets other replies."""

    form: PromptForm = "raw"
    system: Annotated[str | None, Field(min_length=1)] = None
    """What stands before the question: a system message, or in the form ``raw`` a paragraph of its own."""
    max_tokens: Annotated[int, Field(ge=1, le=2**20)] = 16  # room for a few words around a response; more only cost time
    """Tokens of a reply at most."""
    temperature: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """0: the most likely reply."""
    seed: int | None = None
    """Of sampling, where the model's side heeds it."""
    log_probabilities: Annotated[int | None, Field(ge=1, le=20, exclude_if=lambda value: value is None)] = None
    """Alternatives of the first token to ask for, which only some servers give and no verdict rests on."""

    def prompt(self, question: str) -> str:
        """The text to be continued, in the form ``raw``."""
        return f"{self.system}\n\n{question}" if self.system else question

    def conversation(self, question: str) -> Conversation:
        """The turns to be replied to, in the form ``chat``."""
        asked = Turn("user", question)
        return (Turn("system", self.system), asked) if self.system else (asked,)


class Alternative(Record):
    """What a reply could have begun with, as the model's side says."""

    text: Annotated[str, Field(repr=False)]
    """Of one token."""
    log_probability: Annotated[float, Field(le=0, allow_inf_nan=False, strict=True)]


class Reply(Record):
    """What became of one question; ``answered`` has a text, the others have a reason, which never quotes one."""

    status: Literal["answered", "unanswered", "fatal"]
    """Unanswered: this question got no reply. Fatal: none will, until what the reason says is put right."""
    text: Annotated[str, Field(repr=False)] = ""
    reason: str = ""
    alternatives: Annotated[tuple[Alternative, ...], Field(exclude_if=lambda value: not value)] = ()
    """Of the first token, most likely first; empty where none were asked for or given."""

    @property
    def heard(self) -> bool:
        """Whether the model was reached and replied, if only with white space."""
        return self.status == "answered" or self.reason == _EMPTY

    @classmethod
    def said(cls, text: str, alternatives: tuple[Alternative, ...] = ()) -> Self:
        """A server's reply of that text; one of white space alone may have been kept back and is unanswered."""
        if not text.strip():
            return cls.unanswered(_EMPTY)
        return cls(status="answered", text=text, alternatives=alternatives)

    @classmethod
    def unanswered(cls, reason: str) -> Self:
        """No reply, for that reason."""
        return cls(status="unanswered", reason=reason)

    @classmethod
    def fatal(cls, reason: str) -> Self:
        """The end of the run: what is wrong and what to do."""
        return cls(status="fatal", reason=reason)


class TextModel(Protocol):
    """A model that can be talked to and nothing else."""

    name: str
    may_refuse: bool
    """Whether somebody else decides what is answered; not so of a model at hand."""

    def reply(self, questions: Sequence[str], manner: RequestOptions) -> Iterator[Reply]:
        """One reply to each question, in their order, each as soon as it and those before it are there.

        After a fatal reply there may be no more. Whoever stops listening leaves the rest unasked, so far as it can be.
        """
        ...


class Suspect(Part):
    """Where a suspect is and how it is reached. A suspect is its configuration; subclasses set ``name``."""

    @abstractmethod
    def open(self) -> TextModel:
        """The model, ready to be asked."""


SUSPECTS: Registry[Suspect] = Registry(
    "suspect",
    {"endpoint": "insignia.suspects.endpoint:EndpointSuspect", "model": "insignia.modeling.sources:ModelSuspect"},
    group="insignia.suspects",
)
