"""Asks a host about candidates: finds a way that it offers, remembers it, and makes replies of its responses."""

import functools
import threading
from typing import Any

from insignia.suspects.base import Channel, Inquiry, Reply, RequestOptions, TokensReply
from insignia.suspects.connection import FIELD_REFUSED, Attempt, Connection, Request
from insignia.suspects.openai_format import Limit, parsed_value, read_response, refuses_max_tokens
from insignia.suspects.prompt_scores import TOKEN_WAYS
from insignia.suspects.way import Asking, Way
from insignia.suspects.ways import WAYS

__all__ = ["GradedAsking"]

_NOT_OFFERED: dict[Channel, str] = {
    "scores": "the server does not score the candidates",
    "top": "the server gives no log-probabilities",
    "choice": "the reply was not bound by the choice",
}
_REFUSED = Reply.unanswered("the server refuses such a request")
_PROBES = 3  # requests for a way that is not known to work, since some servers answer an unknown field with HTTP 500


class _Found:
    """What is known of the ways of a channel at one host."""

    def __init__(self, ways: tuple[Way, ...]) -> None:
        self.left = [*ways]
        """Ways that are not known to fail; the first is used."""
        self.works = False
        """Whether the first has worked."""
        self.lock = threading.Lock()
        """Held while a way is looked for, so that it is looked for once."""


class GradedAsking:
    """The ways to ask one host about candidates, for any number of threads."""

    def __init__(self, connection: Connection, model: str) -> None:
        """``model`` is the model's name there."""
        self._connection = connection
        self._model = model
        self._limit: Limit = "max_tokens"
        self._found = {key: _Found(ways) for key, ways in WAYS.items()}
        self._tokens_found = {form: _Found(ways) for form, ways in TOKEN_WAYS.items()}

    def ask(self, inquiry: Inquiry, options: RequestOptions, channel: Channel, stop: threading.Event) -> Reply:
        """Return the reply to one inquiry by a channel other than ``text``, with its candidates in their own order."""
        order = sorted(range(len(inquiry.candidates)), key=lambda number: inquiry.candidates[number].text)
        sent = inquiry._replace(
            candidates=tuple(inquiry.candidates[number] for number in order),
            handicaps=tuple(inquiry.handicaps[number] for number in order if inquiry.handicaps),
        )
        reply = self._ask_found(Asking(sent, options, self._model), self._found[channel, options.form], stop)
        if reply is None:
            return Reply.unanswered(_NOT_OFFERED[channel], channel)
        scores = dict(zip(order, reply.scores, strict=True)) if reply.scores else {}
        in_order = tuple(scores[number] for number in range(len(scores)))
        return reply.model_copy(update={"channel": channel, "scores": in_order})

    def ask_tokens(self, inquiry: Inquiry, options: RequestOptions, stop: threading.Event) -> Reply:
        """Return the reply to one inquiry about the tokens of its candidates, which are sent in their own order."""
        reply = self._ask_found(Asking(inquiry, options, self._model), self._tokens_found[options.form], stop)
        return TokensReply(status="answered") if reply is None else reply

    def _ask_found(self, asking: Asking, found: _Found, stop: threading.Event) -> Reply | None:
        if not found.works:
            with found.lock:
                while found.left and not found.works:
                    reply = self._ask_by(found.left[0], asking, stop, known=False)
                    if reply not in (None, _REFUSED):
                        found.works = reply.status == "answered"
                        return reply
                    del found.left[0]
        return self._ask_by(found.left[0], asking, stop, known=True) if found.left else None

    def _ask_by(self, way: Way, asking: Asking, stop: threading.Event, *, known: bool) -> Reply | None:
        """Ask by one way; returns None if the responses do not say what was asked."""
        values: list[Any] = []
        for request in way.requests(asking):
            send = functools.partial(self._send, request, stop, known=known)
            attempt = self._connection.retry(send, stop, most=None if known else _PROBES)
            if attempt.reply.status != "answered":
                return attempt.reply
            values.append(attempt.value)
            if not way.worth_more(values[0]):
                return None
        return way.read(asking, values)

    def _send(self, request: Request, stop: threading.Event, *, known: bool) -> Attempt:
        limit = self._limit
        body = {limit if name == "max_tokens" else name: value for name, value in request.body.items()}
        return self._connection.send(request._replace(body=body), functools.partial(self._read, limit, known=known), stop)

    def _read(self, limit: Limit, status: int, content_type: str, content: bytes, *, known: bool) -> Attempt:
        """Read a response. If it is not known that the way works, what no retry cures means that it does not."""
        if limit == "max_tokens" and refuses_max_tokens(status, content):
            self._limit = "max_completion_tokens"
            return FIELD_REFUSED
        if 200 <= status < 300:
            value = parsed_value(content)
            return Attempt(_REFUSED, again=known) if value is None else Attempt(Reply(status="answered"), value=value)
        attempt = read_response(status, content_type, content)
        if status in (500, 501):
            return attempt if known else Attempt(_REFUSED, again=True)
        return Attempt(_REFUSED) if attempt.reply.status == "fatal" and status not in (401, 403) else attempt
