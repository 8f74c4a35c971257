"""What a way to ask a server about candidates is made of."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from insignia.suspects.base import LEAST_SCORE, Inquiry, Reply, RequestOptions
from insignia.suspects.connection import Request
from insignia.suspects.openai_format import request_body

__all__ = ["Asking", "Way", "bare", "log_probability", "scored"]

_ROUNDING = 1e-3  # a sure token's log-probability may come out above 0 in half precision


class Asking(NamedTuple):
    """An inquiry as it goes out. Its candidates are sorted by text, so that their order tells nothing."""

    inquiry: Inquiry
    options: RequestOptions
    model: str
    """The model's name there."""

    @property
    def texts(self) -> list[str]:
        """The texts of the candidates."""
        return [candidate.text for candidate in self.inquiry.candidates]

    @property
    def ids(self) -> list[int]:
        """The ids of the candidates in the tokenizer of the set."""
        return [candidate.token_id for candidate in self.inquiry.candidates]

    def body(self, *, max_tokens: int = 1, log_probabilities: int | None = None, **fields: Any) -> dict[str, Any]:
        """Return the body of a greedy request in the prompt form of the options, with more fields."""
        manner = {"max_tokens": max_tokens, "temperature": 0.0, "log_probabilities": log_probabilities}
        return request_body(self.inquiry.question, self.options.model_copy(update=manner), self.model) | fields


class Way(NamedTuple):
    """A way to ask about the candidates of one question."""

    name: str
    requests: Callable[[Asking], Sequence[Request]]
    read: Callable[[Asking, Sequence[Any]], Reply | None]
    """Makes an answered reply of what the responses say; None if they do not say it."""
    worth_more: Callable[[Any], bool] = lambda _: True
    """Whether the first response is worth the other requests."""


def bare(text: str) -> str:
    """Return a text without white space: servers decode a token of SentencePiece with or without the space before it."""
    return "".join(text.replace("\u2581", " ").split())


def log_probability(value: Any) -> float | None:
    """Return a log-probability of a response, within what a transcript holds; None if it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not value <= _ROUNDING:  # NaN is not, either
        return None
    return float(min(0.0, max(LEAST_SCORE, value)))


def scored(scores: Sequence[float | None]) -> Reply | None:
    """Return the reply with these scores of the sorted candidates; None if there are none or one is missing."""
    if not scores or None in scores:
        return None
    return Reply(status="answered", channel="scores", scores=tuple(score for score in scores if score is not None))
