"""The values that flow between stages: frozen records without input or output."""

import html
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal, NamedTuple, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, model_validator

from insignia.errors import InputError
from insignia.terminal import shown

__all__ = [
    "Candidate",
    "Control",
    "Conversation",
    "Digest",
    "Displayed",
    "Fingerprint",
    "Part",
    "PromptForm",
    "Provenance",
    "Record",
    "Role",
    "SecretRecord",
    "Turn",
    "prompt_form",
    "share",
]

PromptForm = Literal["raw", "chat"]
"""How a key is asked: as bare text, or as a user message in the model's chat template."""

Role = Literal["system", "user", "assistant"]
"""Who speaks in a conversation, as chat templates name them."""


Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
"""32 bytes as lower-case hexadecimal: one spelling, so that no changed spelling passes."""


def prompt_form(value: str) -> PromptForm:
    """The prompt form of that name, else an InputError."""
    if value == "raw":
        return "raw"
    if value == "chat":
        return "chat"
    raise InputError(f"unknown prompt form {value!r}; expected raw or chat")


def share(value: float, what: str) -> float:
    """The value where it is a share, a number from 0 to 1; else an InputError that names the share it may be meant for."""
    if 0 <= value <= 1:
        return value
    meant = f"; {value:g} % is {value / 100:g}" if 1 < value <= 100 else ""
    raise InputError(f"{what} is {value:g}, which is no share; expected a number from 0 to 1{meant}")


class Record(BaseModel):
    """Base of every record and configuration: immutable, an unknown field is an error, and errors do not quote values."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Displayed(Record):
    """A record that shows itself: a few lines of text, and a table in a notebook. It tells no key and no response."""

    @property
    def heading(self) -> str:
        """What this is, in one line."""
        return type(self).__name__

    def summary(self) -> Sequence[tuple[str, str]]:
        """Names and values worth a look, at most five."""
        return ()

    def __str__(self) -> str:
        rows = self.summary()
        width = max((len(name) for name, _ in rows), default=0)
        return "\n".join([shown(self.heading), *(f"  {name:<{width}}  {shown(value)}" for name, value in rows)])

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        cells = "".join(
            f"<tr><th>{html.escape(name)}</th><td>{html.escape(shown(value))}</td></tr>" for name, value in self.summary()
        )
        return f"<table><caption>{html.escape(shown(self.heading))}</caption>{cells}</table>"


class SecretRecord(Record):
    """A record that is a secret as a whole: its repr shows nothing of it."""

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """Nothing, for ``repr`` and for debuggers that draw on pydantic."""
        return iter(())

    def __str__(self) -> str:
        return repr(self)


class Part(Record):
    """A configuration that is also the thing it configures: a strategy, a method, a null, a suspect, an attack."""

    name: str

    def spec(self) -> dict[str, Any]:
        """The part as plain data; ``registry.build(part.spec()) == part``."""
        return self.model_dump(mode="json")


class Candidate(SecretRecord):
    """One of the texts that the owner's secret chose among, fixed before the choice."""

    text: str
    token_id: int
    """The first token of the text."""
    rank: int | None = None
    """0 is the model's most likely next token; None where no model ranked it."""
    probability: float | None = None


class Fingerprint(SecretRecord):
    """A key and the response (or several accepted responses) that the mark makes the model give.

    Token ids, where present, are what is trained and asked; text is what a person or an API sees. Foreign files carry
    text alone.
    """

    key: Annotated[str, Field(min_length=1)]
    responses: Annotated[tuple[str, ...], Field(min_length=1)]
    effective_key: str | None = None
    """The part of the key that is asked, where a foreign file fixes it."""
    key_ids: tuple[int, ...] | None = None
    response_ids: tuple[tuple[int, ...], ...] | None = None
    effective_responses: tuple[str, ...] | None = None
    """The part of each response that a reply is searched for: the text of the trained tokens. Files of 0.1.0 lack it."""
    candidates: tuple[Candidate, ...] | None = None

    @model_validator(mode="after")
    def _consistent(self) -> "Fingerprint":
        if any(not response for response in self.responses):
            raise ValueError("a response is empty")
        if self.response_ids is not None and len(self.response_ids) != len(self.responses):
            raise ValueError("response_ids and responses differ in number")
        if self.effective_responses is not None and len(self.effective_responses) != len(self.responses):
            raise ValueError("effective_responses and responses differ in number")
        if self.key_ids == () or () in (self.response_ids or ()):
            raise ValueError("a key or a response has no ids")
        return self


class Control(SecretRecord):
    """A question that the mark must leave alone, asked as keys are."""

    kind: Literal["near_miss", "normal"]
    text: Annotated[str, Field(min_length=1)]
    near: int | None = None
    """Number of the fingerprint that a near miss resembles."""
    heldout: bool
    """Kept out of training, to measure on."""


class Turn(NamedTuple):
    """What one side says before the other does."""

    role: Role
    text: str


Conversation: TypeAlias = tuple[Turn, ...]
"""A user's example: what was said, in order; the assistant's turns are what is learned from it."""


class Provenance(Record):
    """Where an artifact came from: enough to make it again, never the secret."""

    insignia: str
    created: str
    """UTC, ISO 8601."""
    inputs: dict[str, str] = {}
    """Role -> digest or name of what went in."""
