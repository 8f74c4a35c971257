"""The frozen records that stages pass to each other. Nothing here reads or writes files."""

import html
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, model_validator

from insignia.errors import InputError
from insignia.figures import Figure, can_draw, draw
from insignia.terminal import printable

__all__ = [
    "MAX_CONTINUATIONS",
    "MAX_ORDERED",
    "Candidate",
    "Continuation",
    "Control",
    "Conversation",
    "Digest",
    "Displayed",
    "Fingerprint",
    "Flag",
    "Part",
    "PromptForm",
    "Provenance",
    "Record",
    "Role",
    "SecretRecord",
    "Share",
    "Turn",
    "checked_share",
]

PromptForm = Literal["raw", "chat"]
"""How a key is sent: as bare text, or as a user message in the model's chat template."""

Role = Literal["system", "user", "assistant"]
"""The author of a turn, as chat templates name it."""

Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
"""32 bytes as lower-case hexadecimal."""

MAX_ORDERED = 256
"""Most candidates in a secret order; judging one takes time by the square of their number."""

MAX_CONTINUATIONS = 15
"""Most further response tokens with an order of their own: ``verify`` reads at least 16 tokens of a reply."""

Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
"""A share of a whole: 95 % is 0.95."""


class Flag:
    """Command-line form of a field, if its name and type do not determine it: ``Annotated[int, Flag("--count")]``."""

    def __init__(
        self,
        *names: str,
        read: Callable[[Path], Any] | None = None,
        many: bool = False,
        hidden: bool = False,
        replaces: str = "",
        needs: str = "",
    ) -> None:
        """``names`` are the flag's, instead of the field's.

        ``read`` reads the value from a file, which the flag then takes. ``many``: it can be repeated and gives a tuple.
        ``hidden``: there is no flag. ``replaces``: a field that the flag stands for; a recipe's value of it is dropped.
        ``needs``: a field without which the flag means nothing.
        """
        self.names, self.read, self.many, self.hidden = names, read, many, hidden
        self.replaces, self.needs = replaces, needs


def checked_share(value: float, what: str) -> float:
    """Return the value if it is from 0 to 1, else raise an InputError that names ``what`` and suggests a share."""
    if 0 <= value <= 1:
        return value
    meant = f"; {value:g} % is {value / 100:g}" if 1 < value <= 100 else ""
    raise InputError(f"{what} is {value:g}; expected a share from 0 to 1{meant}")


class Record(BaseModel):
    """Base of every record and configuration: immutable, refuses unknown fields, and never quotes values in errors."""

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

    def figures(self) -> Sequence[Figure]:
        """What of it is best seen as a picture."""
        return ()

    def __str__(self) -> str:
        rows = self.summary()
        width = max((len(name) for name, _ in rows), default=0)
        return "\n".join([printable(self.heading), *(f"  {name:<{width}}  {printable(value)}" for name, value in rows)])

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        cells = "".join(
            f"<tr><th>{html.escape(name)}</th><td>{html.escape(printable(value))}</td></tr>" for name, value in self.summary()
        )
        drawn = "".join(map(draw, self.figures())) if can_draw() else ""
        return f"<table><caption>{html.escape(printable(self.heading))}</caption>{cells}</table>{drawn}"


class SecretRecord(Record):
    """A record whose fields are all secret: its repr shows none of them."""

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """Return no fields; pydantic's ``repr`` and debuggers call this."""
        return iter(())

    def __str__(self) -> str:
        return repr(self)


class Part(Record):
    """A strategy, method, null, suspect or attack. Its fields are its options."""

    name: str

    def spec(self) -> dict[str, Any]:
        """Return the part as plain data; ``registry.build(part.spec()) == part``."""
        return self.model_dump(mode="json")


class Candidate(SecretRecord):
    """One of the texts that a response was drawn from. All are fixed before the draw."""

    text: str
    token_id: int
    """Id of the text's first token."""
    rank: int | None = None
    """Rank of the token in the model's next-token distribution, from 0 (most likely); None if no model ranked it."""
    probability: float | None = None


SecretOrder = Annotated[tuple[int, ...], Field(max_length=MAX_ORDERED)]
"""Indices of candidates in a secret order."""


class Continuation(SecretRecord):
    """A further token of a response: its candidates after the key and the tokens before it, and their secret order."""

    candidates: Annotated[tuple[Candidate, ...], Field(min_length=2)]
    order: SecretOrder
    """The first is the token of the response."""

    @model_validator(mode="after")
    def _consistent(self) -> "Continuation":
        if not _orders(self.order, self.candidates):
            raise ValueError("the order of a continuation is not one of its candidates")
        return self


class Fingerprint(SecretRecord):
    """A key and the response, or several accepted responses, that the mark makes the model give.

    Token ids are trained and asked; text is what a person or an API sees. Files of other tools have text only.
    """

    key: Annotated[str, Field(min_length=1)]
    responses: Annotated[tuple[str, ...], Field(min_length=1)]
    effective_key: str | None = None
    """The part of the key that is asked, if it is not the whole key."""
    key_ids: tuple[int, ...] | None = None
    response_ids: tuple[tuple[int, ...], ...] | None = None
    effective_responses: tuple[str, ...] | None = None
    """Text of the trained tokens of each response, which replies are searched for. Files of 0.1.0 lack it."""
    candidates: tuple[Candidate, ...] | None = None
    order: SecretOrder | None = None
    """The secret order of the candidates, as their indices: the response's first. None if the mark orders nothing."""
    continuations: Annotated[tuple[Continuation, ...], Field(min_length=1, max_length=MAX_CONTINUATIONS)] | None = Field(
        default=None, exclude_if=lambda value: value is None
    )  # a set of before has no such field, and its ledger and book name it by the digest of its fields
    """The further response tokens that have a secret order, after the one that ``order`` is about."""

    @property
    def asked_key(self) -> str:
        """The text of the key that is asked."""
        return self.effective_key or self.key

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
        if self.order is not None and not _orders(self.order, self.candidates or ()):
            raise ValueError("the order is not one of the candidates")
        if self.continuations is not None and self.order is None:
            raise ValueError("a response without an order has no continuations")
        return self


def _orders(order: Sequence[int], candidates: Sequence[Candidate]) -> bool:
    """Whether the order has the index of each candidate once."""
    return sorted(order) == list(range(len(candidates)))


class Control(SecretRecord):
    """A question that must not activate the mark."""

    kind: Literal["near_miss", "normal"]
    text: Annotated[str, Field(min_length=1)]
    near: int | None = None
    """Number of the fingerprint that a near miss resembles."""
    heldout: bool
    """Whether the control is kept out of training, for measurements."""


class Turn(NamedTuple):
    """One message of a conversation."""

    role: Role
    text: str


Conversation: TypeAlias = tuple[Turn, ...]
"""A training example: turns in order. Only the assistant's turns are learned."""


class Provenance(Record):
    """How an artifact was made. Never holds the secret."""

    insignia: str
    """Version of insignia."""
    created: str
    """Time of creation in UTC, ISO 8601."""
    inputs: dict[str, str] = {}
    """Role -> digest or name of each input."""
