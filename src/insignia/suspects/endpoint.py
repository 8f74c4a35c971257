"""A model behind an OpenAI-compatible API: vLLM, SGLang, TGI, llama.cpp, Ollama, ``transformers serve`` and paid ones.

The API key comes from an environment variable and goes nowhere but into the request's header. Redirects are not
followed: they would take the key elsewhere.
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
from pydantic import Field

from insignia.errors import InputError
from insignia.records import Record
from insignia.suspects.base import Reply, RequestOptions, Suspect
from insignia.suspects.http import Wire
from insignia.suspects.openai_format import (
    Attempt,
    Limit,
    path,
    read_response,
    refuses_log_probabilities,
    request_body,
    wants_other_limit,
)

__all__ = ["API_KEY_VARIABLE", "Endpoint", "EndpointSuspect", "RetryPolicy"]

_DAY = 86_400.0  # seconds; what waits longer is not waiting for a reply, and the system's clocks end somewhere beyond
_MOST_BYTES = 2**24  # of a reply; thousands of tokens with all their log-probabilities take less

API_KEY_VARIABLE = "INSIGNIA_API_KEY"
"""Not a provider's own variable: its key must not go to whatever address is being tested."""


class RetryPolicy(Record):
    """How hard a server is pressed, and what is put up with."""

    concurrency: Annotated[int, Field(ge=1, le=1024)] = 8  # few servers are slower for it; a verdict rarely needs more at once
    """Requests at once."""
    attempts: Annotated[int, Field(ge=1)] = 6  # a server that fails 30 % of requests loses 1 question in 1,400
    """Requests for one question at most; after the last, it is unanswered."""
    timeout_s: Annotated[float, Field(gt=0, le=_DAY)] = 120.0  # vLLM's first request may take 24 s while it warms up
    """For a whole exchange, from connecting, which gets 10 s of it at most, to the last byte of the reply."""
    first_wait_s: Annotated[float, Field(ge=0, le=_DAY)] = 0.5
    """Before the second attempt, about; doubled before each further one."""
    longest_wait_s: Annotated[float, Field(ge=0, le=_DAY)] = 60.0
    """Of any wait, the server's wishes included."""
    requests_per_second: Annotated[float | None, Field(ge=1 / _DAY, allow_inf_nan=False)] = None
    budget: Annotated[int | None, Field(ge=1)] = None
    """Requests in all."""


class Endpoint:
    """A model by its address and name. Implements ``TextModel``."""

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
        """``url`` is the base address, which ``/completions`` is appended to; ``transport`` replaces the network.

        Raises:
            InputError: not such an address, or it holds a password; or no such name.
        """
        if not model or not model.isprintable():
            raise InputError("the model's name at the endpoint cannot be one; expected printable text (--name)")
        self.name = f"{model} at {_checked(url)}"
        address = httpx2.URL(url.rstrip("/"))
        self._model = model
        self._limit: Limit = "max_tokens"
        self._gives_log_probabilities = True  # until it refuses to
        self._patience = retry_policy or RetryPolicy()
        self._gate = _Gate(self._patience)
        self._variable = api_key_variable
        key = _key(api_key_variable)
        self._client = httpx2.Client(
            base_url=address,
            headers={"Accept-Encoding": "identity"} | ({"Authorization": f"Bearer {key}"} if key else {}),
            transport=transport or Wire(address, timeout_s=self._patience.timeout_s, connections=self._patience.concurrency),
        )

    def reply(self, questions: Sequence[str], manner: RequestOptions) -> Iterator[Reply]:
        """See ``TextModel.reply``; questions go out in their order, as many at once as patience allows."""
        stop = threading.Event()
        pool = ThreadPoolExecutor(self._patience.concurrency, thread_name_prefix="insignia-endpoint")
        try:
            pending = [pool.submit(self._ask, question, manner, stop) for question in questions]
            for future in pending:
                reply = future.result()
                if reply.status == "fatal":
                    stop.set()  # before the listener hears of it, who may not come back
                    pool.shutdown(wait=False, cancel_futures=True)
                    yield reply
                    return
                yield reply
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)

    def close(self) -> None:
        """Let go of all connections; the model can be asked no more."""
        self._client.close()

    def _ask(self, question: str, manner: RequestOptions, stop: threading.Event) -> Reply:
        """One question, as often as it takes."""
        attempt = Attempt(Reply.fatal("the run was stopped"))
        for number in range(self._patience.attempts):
            if number:
                self._gate.back_off(number, stop)
            attempt = self._request(question, manner, stop)
            while attempt.field_refused:  # a matter of the server, not of the question: no attempt is lost
                attempt = self._request(question, manner, stop)
            if not attempt.again:
                break
        return attempt.reply

    def _request(self, question: str, manner: RequestOptions, stop: threading.Event) -> Attempt:
        """One request, in its turn."""
        if not self._gate.enter(stop):
            return Attempt(Reply.fatal("the budget of requests is spent; raise --budget and go on with the same transcript"))
        if stop.is_set():
            return Attempt(Reply.fatal("the run was stopped"))
        if not self._gives_log_probabilities:
            manner = manner.model_copy(update={"log_probabilities": None})
        return self._post(question, manner, self._limit)

    def _post(self, question: str, manner: RequestOptions, limit: Limit) -> Attempt:
        # The errors' own texts may hold the address or what was sent; their kind says enough.
        body = request_body(question, manner, self._model, limit)
        try:
            with self._client.stream("POST", path(manner), json=body) as response:
                content = _content(response, time.monotonic() + self._patience.timeout_s)
        except httpx2.ConnectError:
            return Attempt(Reply.fatal("the server cannot be reached; is it running, and the address right?"), again=True)
        except httpx2.TimeoutException:
            return Attempt(Reply.unanswered("timed out"), again=True)
        except httpx2.RemoteProtocolError:
            return Attempt(Reply.unanswered("truncated"), again=True)
        except (httpx2.TransportError, httpx2.DecodingError):
            return Attempt(Reply.unanswered("connection lost"), again=True)
        self._gate.hold(_seconds_to_wait(response.headers.get("retry-after")))
        if content is None:
            return Attempt(Reply.unanswered("endless"), again=True)
        if limit == "max_tokens" and wants_other_limit(response.status_code, content):
            self._limit = "max_completion_tokens"
            return Attempt(Reply.unanswered("a field was refused"), again=True, field_refused=True)
        if manner.log_probabilities and refuses_log_probabilities(response.status_code, content):
            self._gives_log_probabilities = False
            return Attempt(Reply.unanswered("a field was refused"), again=True, field_refused=True)
        content_type = response.headers.get("content-type", "")
        attempt = read_response(
            response.status_code,
            content_type,
            content,
            alternatives=manner.log_probabilities or 0,
            most_tokens=manner.max_tokens,
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
    """What all threads pass on their way to the server: the rate, the budget, and a wait that the server asked for."""

    def __init__(self, retry_policy: RetryPolicy) -> None:
        self._patience = retry_policy
        self._lock = threading.Lock()
        self._next = 0.0
        self._left = retry_policy.budget
        self._chance = random.SystemRandom()

    def enter(self, stop: threading.Event) -> bool:
        """Wait for one's turn; False where the budget is spent."""
        with self._lock:
            if self._left == 0:
                return False
            if self._left is not None:
                self._left -= 1
            now = time.monotonic()
            turn = max(now, self._next)
            self._next = turn + (1 / self._patience.requests_per_second if self._patience.requests_per_second else 0)
        stop.wait(turn - now)
        return True

    def hold(self, seconds: float) -> None:
        """Let nobody in for so long."""
        if seconds > 0:
            with self._lock:
                self._next = max(self._next, time.monotonic() + min(seconds, self._patience.longest_wait_s))

    def back_off(self, attempt: int, stop: threading.Event) -> None:
        """Wait before a further attempt: twice as long each time, by chance half of it less, so that threads part."""
        wait = min(self._patience.first_wait_s * 2 ** (attempt - 1), self._patience.longest_wait_s)
        stop.wait(wait * self._chance.uniform(0.5, 1.0))


def _content(response: httpx2.Response, deadline: float) -> bytes | None:
    """The whole body; None of one that goes on and on, which a host may try."""
    content = bytearray()
    for piece in response.iter_bytes():
        content += piece
        if len(content) > _MOST_BYTES or time.monotonic() > deadline:
            return None
    return bytes(content)


def _seconds_to_wait(header: str | None) -> float:
    """``Retry-After``: seconds or a date; 0.0 where there is none that can be read."""
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
        raise InputError(f"the environment variable {variable} holds what cannot be an API key; expected plain ASCII text")
    return key or None


def _checked(url: str) -> str:
    try:
        parts = httpx2.URL(url)
        known = bool(parts.raw_host.decode().encode("idna")) and parts.port != 0  # no label empty or longer than 63 letters
    except (httpx2.InvalidURL, UnicodeError):
        parts, known = httpx2.URL(), False
    if parts.scheme not in ("http", "https") or not known:
        raise InputError("the endpoint is no address of a server; expected one like http://localhost:8000/v1")
    if parts.userinfo or parts.query:
        raise InputError(
            f"the endpoint's address holds a password or a query; put an API key into the environment ({API_KEY_VARIABLE})"
        )
    return url.rstrip("/")
