"""A model behind an OpenAI-compatible API: vLLM, SGLang, TGI, llama.cpp, Ollama, ``transformers serve``, paid services.

The API key comes from an environment variable and is sent only in the request header. Redirects are not followed, since
they could send the key elsewhere.
"""

import datetime
import email.utils
import os
import random
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Literal

import httpx2
from pydantic import ConfigDict, Field

from insignia.errors import InputError
from insignia.records import Flag, Record
from insignia.suspects.base import Reply, RequestOptions, Suspect
from insignia.suspects.http import DeadlineTransport
from insignia.suspects.openai_format import (
    Attempt,
    Limit,
    path,
    read_response,
    refuses_log_probabilities,
    refuses_max_tokens,
    request_body,
)

__all__ = ["API_KEY_VARIABLE", "Endpoint", "EndpointSuspect", "RetryPolicy"]

_DAY = 86_400.0  # seconds; no reply takes longer, and larger waits overflow the system's clocks
_MAX_BYTES = 2**24  # of a reply; thousands of tokens with all their log-probabilities take less

API_KEY_VARIABLE = "INSIGNIA_API_KEY"
"""Default variable. It is not a provider's own, whose key must not be sent to the tested address by accident."""


class RetryPolicy(Record):
    """Rate limits and retry policy of an endpoint."""

    model_config = ConfigDict(title="Network")

    concurrency: Annotated[int, Field(ge=1, le=1024)] = 8  # slows few servers; a verdict rarely needs more at once
    """Most simultaneous requests."""
    attempts: Annotated[int, Field(ge=1)] = 6  # a server that fails 30 % of requests loses 1 question in 1,400
    """Most requests for one question, which is unanswered after the last."""
    timeout_s: Annotated[float, Field(gt=0, le=_DAY), Flag("--timeout")] = 120.0  # vLLM's first request may take 24 s
    """Time limit of a request in seconds, from connecting (at most 10 s) to the last byte of the reply."""
    first_wait_s: Annotated[float, Field(ge=0, le=_DAY), Flag(hidden=True)] = 0.5
    """Approximate wait before the second attempt in seconds; it doubles before each further one."""
    longest_wait_s: Annotated[float, Field(ge=0, le=_DAY), Flag(hidden=True)] = 60.0
    """Longest wait in seconds, even if the server asks for more."""
    requests_per_second: Annotated[float | None, Field(ge=1 / _DAY, allow_inf_nan=False)] = None
    """Most requests per second; unlimited by default."""
    budget: Annotated[int | None, Field(ge=1)] = None
    """Most requests in total for each suspect; unlimited by default."""


class Endpoint:
    """A model at an OpenAI-compatible endpoint. Implements ``TextModel``."""

    may_refuse = True

    def __init__(
        self,
        url: str,
        *,
        model: str,
        retry_policy: RetryPolicy | None = None,
        api_key_variable: str = API_KEY_VARIABLE,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        """``url`` is the base address, to which ``/completions`` is appended; ``transport`` replaces the network.

        Raises:
            InputError: the address is invalid or holds a password, or the name is empty or unprintable.
        """
        if not model or not model.isprintable():
            raise InputError("the endpoint's model name is empty or unprintable; give its name there (--name)")
        self.name = f"{model} at {_checked(url)}"
        address = httpx2.URL(url.rstrip("/"))
        self._model = model
        self._limit: Limit = "max_tokens"
        self._gives_log_probabilities = True  # until the server refuses
        self._retry_policy = retry_policy or RetryPolicy()
        self._gate = _Gate(self._retry_policy)
        self._variable = api_key_variable
        key = _key(api_key_variable)
        self._client = httpx2.Client(
            base_url=address,
            headers={"Accept-Encoding": "identity"} | ({"Authorization": f"Bearer {key}"} if key else {}),
            transport=transport
            or DeadlineTransport(address, timeout_s=self._retry_policy.timeout_s, connections=self._retry_policy.concurrency),
        )

    def reply(self, questions: Sequence[str], options: RequestOptions) -> Iterator[Reply]:
        """See ``TextModel.reply``. Up to ``concurrency`` questions are sent at once, in order."""
        stop = threading.Event()
        pool = ThreadPoolExecutor(self._retry_policy.concurrency, thread_name_prefix="insignia-endpoint")
        try:
            pending = [pool.submit(self._ask, question, options, stop) for question in questions]
            for future in pending:
                reply = future.result()
                if reply.status == "fatal":
                    stop.set()  # before yielding: the caller may not resume this generator
                    pool.shutdown(wait=False, cancel_futures=True)
                    yield reply
                    return
                yield reply
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)

    def close(self) -> None:
        """Close all connections. The endpoint cannot be used afterwards."""
        self._client.close()

    def _ask(self, question: str, options: RequestOptions, stop: threading.Event) -> Reply:
        """Send one question, with retries."""
        attempt = Attempt(Reply.fatal("the run was stopped"))
        for number in range(self._retry_policy.attempts):
            if number:
                self._gate.back_off(number, stop)
            attempt = self._request(question, options, stop)
            while attempt.field_refused:  # depends on the server, not the question: does not count as an attempt
                attempt = self._request(question, options, stop)
            if not attempt.again:
                break
        return attempt.reply

    def _request(self, question: str, options: RequestOptions, stop: threading.Event) -> Attempt:
        """Send one request when the rate limit allows it."""
        if not self._gate.enter(stop):
            return Attempt(Reply.fatal("the budget of requests is spent; raise --budget and resume with the same --transcript"))
        if stop.is_set():
            return Attempt(Reply.fatal("the run was stopped"))
        if not self._gives_log_probabilities:
            options = options.model_copy(update={"log_probabilities": None})
        return self._post(question, options, self._limit)

    def _post(self, question: str, options: RequestOptions, limit: Limit) -> Attempt:
        # Error texts may quote the address or the request, so only their kind is reported.
        body = request_body(question, options, self._model, limit)
        try:
            with self._client.stream("POST", path(options), json=body) as response:
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
        if limit == "max_tokens" and refuses_max_tokens(response.status_code, content):
            self._limit = "max_completion_tokens"
            return Attempt(Reply.unanswered("a field was refused"), again=True, field_refused=True)
        if options.log_probabilities and refuses_log_probabilities(response.status_code, content):
            self._gives_log_probabilities = False
            return Attempt(Reply.unanswered("a field was refused"), again=True, field_refused=True)
        content_type = response.headers.get("content-type", "")
        attempt = read_response(
            response.status_code,
            content_type,
            content,
            alternatives=options.log_probabilities or 0,
            most_tokens=options.max_tokens,
        )
        if response.status_code in (401, 403):
            reason = f"{attempt.reply.reason}; it is read from the environment variable {self._variable}"
            return attempt._replace(reply=Reply.fatal(reason))
        return attempt


class EndpointSuspect(Suspect):
    """A model behind an OpenAI-compatible API."""

    name: Literal["endpoint"] = "endpoint"
    url: Annotated[str, Field(repr=False)]  # somebody may put a password into it, which Endpoint refuses
    """The base address, such as http://localhost:8000/v1."""
    model: str
    """The model's name there."""
    api_key_variable: str = API_KEY_VARIABLE
    """Environment variable that holds the API key."""
    retry_policy: RetryPolicy = RetryPolicy()

    def open(self) -> Endpoint:
        """Connect to it; nothing is sent yet."""
        return Endpoint(self.url, model=self.model, retry_policy=self.retry_policy, api_key_variable=self.api_key_variable)


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
