"""A connection to one host: requests with retries, at the rate, within the budget, the time and the size that are allowed.

The API key comes from an environment variable and is sent only in the request header. Redirects are not followed, since
they could send the key elsewhere.
"""

import datetime
import email.utils
import os
import random
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import httpx2

from insignia.errors import InputError
from insignia.suspects.base import Reply
from insignia.suspects.http import DeadlineTransport
from insignia.suspects.retry_policy import API_KEY_VARIABLE, RetryPolicy

__all__ = ["FIELD_REFUSED", "Attempt", "Connection", "Reader", "Request"]

_MAX_BYTES = 2**24  # of a reply; thousands of tokens with all their log-probabilities take less


class Attempt(NamedTuple):
    """The meaning of one HTTP response."""

    reply: Reply
    again: bool = False
    """Whether a retry may help."""
    field_refused: bool = False
    """Whether the server refused a field, which is renamed or left out from then on."""
    value: Any = None
    """What the response says, where the reply is made of several responses."""


FIELD_REFUSED = Attempt(Reply.unanswered("a field was refused"), again=True, field_refused=True)
"""The server refused a field, which is renamed or left out from now on."""


class Request(NamedTuple):
    """A question as it goes out."""

    path: str
    """Path under the base address."""
    body: dict[str, Any]
    native: bool = False
    """Whether the path is the server's own, beside ``/v1`` and not under it."""


Reader = Callable[[int, str, bytes], Attempt]
"""Reads the status, content type and content of a response."""


class Connection:
    """A connection to one host, for any number of threads."""

    def __init__(self, url: str, *, retry_policy: RetryPolicy, variable: str, transport: httpx2.BaseTransport | None) -> None:
        """``variable`` is the environment variable of the API key; ``transport`` replaces the network.

        Raises:
            InputError: the address is invalid or holds a password, or the API key is malformed.
        """
        self.name = _checked(url)
        """The address, without a slash at its end."""
        self._address = address = httpx2.URL(self.name)
        self._retry_policy = retry_policy
        self._gate = _Gate(retry_policy)
        self._variable = variable
        key = _key(variable)
        self._client = httpx2.Client(
            headers={"Accept-Encoding": "identity"} | ({"Authorization": f"Bearer {key}"} if key else {}),
            transport=transport
            or DeadlineTransport(address, timeout_s=retry_policy.timeout_s, connections=retry_policy.concurrency),
        )

    def retry(self, send: Callable[[], Attempt], stop: threading.Event, *, most: int | None = None) -> Attempt:
        """Call this until no retry helps, at most ``most`` times if that is less than the policy allows."""
        attempt = Attempt(Reply.fatal("the run was stopped"))
        for number in range(min(most or self._retry_policy.attempts, self._retry_policy.attempts)):
            if number:
                self._gate.back_off(number, stop)
            attempt = send()
            while attempt.field_refused:  # depends on the server, not the question: does not count as an attempt
                attempt = send()
            if not attempt.again:
                break
        return attempt

    def send(self, request: Request, read: Reader, stop: threading.Event) -> Attempt:
        """Send one request when the rate limit allows it."""
        if not self._gate.enter(stop):
            return Attempt(Reply.fatal("the budget of requests is spent; raise --budget and resume with the same --transcript"))
        if stop.is_set():
            return Attempt(Reply.fatal("the run was stopped"))
        # Error texts may quote the address or the request, so only their kind is reported.
        try:
            with self._client.stream("POST", self._place(request), json=request.body) as response:
                content = _content(response, time.monotonic() + self._retry_policy.timeout_s)
        except httpx2.ConnectError:
            return Attempt(Reply.fatal("the server cannot be reached; check that it runs and the address is right"), again=True)
        except httpx2.TimeoutException:
            return Attempt(Reply.unanswered("timed out"), again=True)
        except httpx2.RemoteProtocolError:
            return Attempt(Reply.unanswered("truncated"), again=True)
        except (httpx2.TransportError, httpx2.DecodingError):
            return Attempt(Reply.unanswered("connection lost"), again=True)
        self._gate.hold(_seconds_to_wait(response.headers.get("retry-after")))
        if content is None:
            return Attempt(Reply.unanswered("endless"), again=True)
        attempt = read(response.status_code, response.headers.get("content-type", ""), content)
        if response.status_code in (401, 403):
            reason = f"{attempt.reply.reason}; it is read from the environment variable {self._variable}"
            return attempt._replace(reply=Reply.fatal(reason))
        return attempt

    def close(self) -> None:
        """Close all connections. It cannot be used afterwards."""
        self._client.close()

    def _place(self, request: Request) -> httpx2.URL:
        under = self._address.raw_path.rstrip(b"/")
        under = under.removesuffix(b"/v1") if request.native else under
        return self._address.copy_with(raw_path=under + request.path.encode())


class _Gate:
    """Rate limit, budget and server-requested waits, shared by all threads."""

    def __init__(self, retry_policy: RetryPolicy) -> None:
        self._retry_policy = retry_policy
        self._lock = threading.Lock()
        self._next = 0.0
        self._left = retry_policy.budget
        self._rng = random.SystemRandom()

    def enter(self, stop: threading.Event) -> bool:
        """Wait until the rate limit allows a request; return False if the budget is spent."""
        with self._lock:
            if self._left == 0:
                return False
            if self._left is not None:
                self._left -= 1
            now = time.monotonic()
            turn = max(now, self._next)
            self._next = turn + (1 / self._retry_policy.requests_per_second if self._retry_policy.requests_per_second else 0)
        stop.wait(turn - now)
        return True

    def hold(self, seconds: float) -> None:
        """Let no request pass for this time."""
        if seconds > 0:
            with self._lock:
                self._next = max(self._next, time.monotonic() + min(seconds, self._retry_policy.longest_wait_s))

    def back_off(self, attempt: int, stop: threading.Event) -> None:
        """Wait before another attempt: twice as long each time, with random jitter."""
        wait = min(self._retry_policy.first_wait_s * 2 ** (attempt - 1), self._retry_policy.longest_wait_s)
        stop.wait(wait * self._rng.uniform(0.5, 1.0))


def _content(response: httpx2.Response, deadline: float) -> bytes | None:
    """Return the whole body, or None if it is too long or too slow."""
    content = bytearray()
    for piece in response.iter_bytes():
        content += piece
        if len(content) > _MAX_BYTES or time.monotonic() > deadline:
            return None
    return bytes(content)


def _seconds_to_wait(header: str | None) -> float:
    """Parse ``Retry-After``, seconds or a date; 0.0 if it is missing or malformed."""
    if not header:
        return 0.0
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        until = email.utils.parsedate_to_datetime(header)
    except ValueError:
        return 0.0
    if until.tzinfo is None:
        until = until.replace(tzinfo=datetime.UTC)
    return max(0.0, (until - datetime.datetime.now(datetime.UTC)).total_seconds())


def _key(variable: str) -> str | None:
    key = os.environ.get(variable, "").strip()
    if not (key.isascii() and key.isprintable()):
        raise InputError(f"the API key in the environment variable {variable} is malformed; expected plain ASCII text")
    return key or None


def _checked(url: str) -> str:
    try:
        parts = httpx2.URL(url)
        known = bool(parts.raw_host.decode().encode("idna")) and parts.port != 0  # labels have 1 to 63 letters
    except (httpx2.InvalidURL, UnicodeError):
        parts, known = httpx2.URL(), False
    if parts.scheme not in ("http", "https") or not known:
        raise InputError("the endpoint is not a server address; expected one like http://localhost:8000/v1")
    if parts.userinfo or parts.query:
        raise InputError(
            f"the endpoint's address has a password or a query; put the API key into the environment ({API_KEY_VARIABLE})"
        )
    return url.rstrip("/")
