"""The protocol of a model that is asked with text, and its request options and replies."""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Annotated, Literal, NamedTuple, Protocol, Self

from pydantic import Field

from insignia.records import Candidate, Conversation, Part, PromptForm, Record, Turn
from insignia.registry import Registry

__all__ = [
    "CHANNELS",
    "LEAST_SCORE",
    "SUSPECTS",
    "Alternative",
    "Channel",
    "GradedModel",
    "Inquiry",
    "Reply",
    "RequestOptions",
    "Suspect",
    "TextModel",
    "TokenModel",
    "TokenScore",
    "TokensReply",
]

_EMPTY = "empty"

Channel = Literal["scores", "top", "choice", "text"]
"""What a suspect reveals of a key's candidates: the log-probability of each; the likeliest tokens; the one that it chooses
when it may say nothing else; or only what it writes."""

CHANNELS: tuple[Channel, ...] = ("scores", "top", "choice", "text")
"""All channels, strongest first."""

LEAST_SCORE = -1e4
"""Smallest log-probability in a transcript, since JSON has no infinity."""


class Inquiry(NamedTuple):
    """A question and the candidates that its reply is about."""

    question: str
    candidates: tuple[Candidate, ...]
    handicaps: tuple[float, ...] = ()
    """Added to the candidates' log-probabilities before one is chosen, by channel ``choice`` alone; () for none."""


class RequestOptions(Record):
    """Options of every question of a run. They are part of the evidence, since other options get other replies."""

    form: PromptForm = "raw"
    """Prompt form of the questions."""
    system: Annotated[str | None, Field(min_length=1)] = None
    """System message, or with prompt form ``raw`` a paragraph before the question."""
    max_tokens: Annotated[int, Field(ge=1, le=2**20)] = 16  # room for a few words around a response; more only costs time
    """Most tokens of a reply."""
    temperature: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """Sampling temperature; 0 takes the most likely reply."""
    seed: int | None = None
    """Seed of sampling; some servers ignore it."""
    log_probabilities: Annotated[int | None, Field(ge=1, le=20, exclude_if=lambda value: value is None)] = None
    """Number of first-token alternatives to request. Few servers give them; a verdict by text does not depend on them."""

    def prompt(self, question: str) -> str:
        """Return the text to continue, for prompt form ``raw``."""
        return f"{self.system}\n\n{question}" if self.system else question

    def conversation(self, question: str) -> Conversation:
        """Return the turns to reply to, for prompt form ``chat``."""
        asked = Turn("user", question)
        return (Turn("system", self.system), asked) if self.system else (asked,)


class Alternative(Record):
    """A possible first token of a reply, as reported by the server."""

    text: Annotated[str, Field(repr=False)]
    """Text of the token."""
    log_probability: Annotated[float, Field(le=0, allow_inf_nan=False, strict=True)]


class Reply(Record):
    """The result of one question."""

    status: Literal["answered", "unanswered", "fatal"]
    """``answered``, ``unanswered`` (this question got no reply) or ``fatal`` (no question will, until the cause is fixed)."""
    text: Annotated[str, Field(repr=False)] = ""
    """Text of an answered question."""
    reason: str = ""
    """Why there is no text. Never quotes a question or a reply."""
    alternatives: Annotated[tuple[Alternative, ...], Field(exclude_if=lambda value: not value)] = ()
    """Alternatives of the first token, most likely first, if requested and given."""
    channel: Annotated[Channel, Field(exclude_if=lambda value: value == "text")] = "text"
    """How the question was asked."""
    scores: Annotated[
        tuple[Annotated[float, Field(ge=LEAST_SCORE, le=0, allow_inf_nan=False, strict=True)], ...],
        Field(repr=False, exclude_if=lambda value: not value),
    ] = ()
    """Log-probabilities of the candidates, in their order in the set; channel ``scores`` only."""

    @property
    def reached(self) -> bool:
        """Whether the model was reached, even if it replied with white space only."""
        return self.status == "answered" or self.reason == _EMPTY

    @classmethod
    def said(cls, text: str, alternatives: tuple[Alternative, ...] = ()) -> Self:
        """Return an answered reply, or an unanswered one if the text is white space only, which may be a withheld reply."""
        if not text.strip():
            return cls.unanswered(_EMPTY)
        return cls(status="answered", text=text, alternatives=alternatives)

    @classmethod
    def unanswered(cls, reason: str, channel: Channel = "text") -> Self:
        """Return an unanswered reply."""
        return cls(status="unanswered", reason=reason, channel=channel)

    @classmethod
    def fatal(cls, reason: str) -> Self:
        """Return a fatal reply; the reason says what is wrong and what to do."""
        return cls(status="fatal", reason=reason)


class TokenScore(NamedTuple):
    """A token in its place: how likely it was after all tokens before it."""

    log_probability: float
    likeliest: bool
    """Whether no token was likelier."""
    rank: int | None
    """Its rank, from 0; None if that is not told."""


class TokensReply(Reply):
    """A reply about the tokens of texts."""

    tokens: Annotated[tuple[tuple[TokenScore, ...], ...], Field(repr=False)] = ()
    """The tokens of each candidate; () if the model does not tell them."""


class TextModel(Protocol):
    """A model that is asked with text."""

    name: str
    may_refuse: bool
    """Whether a host may refuse questions; false for a local model."""

    def reply(self, questions: Sequence[str], options: RequestOptions) -> Iterator[Reply]:
        """Yield one reply per question, in order, as soon as possible.

        A fatal reply may be the last. If the caller stops iterating, the remaining questions should not be sent.
        """
        ...


class GradedModel(TextModel, Protocol):
    """A model that can also be asked about candidates."""

    channels: tuple[Channel, ...]
    """The channels that it may offer, strongest first. A host may refuse one, now or later."""

    def weigh(self, inquiries: Sequence[Inquiry], options: RequestOptions, channel: Channel) -> Iterator[Reply]:
        """Yield one reply per inquiry by a channel other than ``text``, like ``reply``.

        A reply is unanswered if the model does not offer the channel, or has no single token for a candidate. The order of the
        candidates must not matter.
        """
        ...


class TokenModel(TextModel, Protocol):
    """A model that can also be asked about the single tokens of texts."""

    def tokens(self, inquiries: Sequence[Inquiry], options: RequestOptions) -> Iterator[Reply]:
        """Yield one reply per inquiry, like ``reply``; an answered one is a ``TokensReply``."""
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
