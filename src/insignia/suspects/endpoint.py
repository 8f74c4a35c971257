"""A model behind an OpenAI-compatible API: vLLM, SGLang, TGI, llama.cpp, Ollama, ``transformers serve``, paid services."""

import functools
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Literal, TypeVar

import httpx2
from pydantic import Field

from insignia.errors import InputError
from insignia.suspects.base import CHANNELS, Channel, Inquiry, Reply, RequestOptions, Suspect
from insignia.suspects.connection import FIELD_REFUSED, Attempt, Connection, Request
from insignia.suspects.graded_asking import GradedAsking
from insignia.suspects.openai_format import (
    Limit,
    path,
    read_response,
    refuses_log_probabilities,
    refuses_max_tokens,
    request_body,
)
from insignia.suspects.retry_policy import API_KEY_VARIABLE, RetryPolicy

__all__ = ["API_KEY_VARIABLE", "Endpoint", "EndpointSuspect", "RetryPolicy"]

_Asked = TypeVar("_Asked")


class Endpoint:
    """A model at an OpenAI-compatible endpoint. Implements ``GradedModel`` and ``TokenModel``."""

    may_refuse = True
    channels = CHANNELS

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
        retry_policy = retry_policy or RetryPolicy()
        self._connection = Connection(url, retry_policy=retry_policy, variable=api_key_variable, transport=transport)
        self._graded = GradedAsking(self._connection, model)
        self.name = f"{model} at {self._connection.name}"
        self._model = model
        self._limit: Limit = "max_tokens"
        self._gives_log_probabilities = True  # until the server refuses
        self._concurrency = retry_policy.concurrency

    def reply(self, questions: Sequence[str], options: RequestOptions) -> Iterator[Reply]:
        """See ``TextModel.reply``. Up to ``concurrency`` questions are sent at once, in order."""
        return self._each(questions, lambda question, stop: self._ask(question, options, stop))

    def weigh(self, inquiries: Sequence[Inquiry], options: RequestOptions, channel: Channel) -> Iterator[Reply]:
        """See ``GradedModel.weigh``. The first inquiry may take a few requests more, to find how this host can be asked."""
        return self._each(inquiries, lambda inquiry, stop: self._graded.ask(inquiry, options, channel, stop))

    def tokens(self, inquiries: Sequence[Inquiry], options: RequestOptions) -> Iterator[Reply]:
        """See ``TokenModel.tokens``; as with ``weigh``, the first inquiry may take a few requests more."""
        return self._each(inquiries, lambda inquiry, stop: self._graded.ask_tokens(inquiry, options, stop))

    def close(self) -> None:
        """Close all connections. The endpoint cannot be used afterwards."""
        self._connection.close()

    def _each(self, asked: Sequence[_Asked], ask: Callable[[_Asked, threading.Event], Reply]) -> Iterator[Reply]:
        """Yield the reply to each, in order, up to and with the first fatal one."""
        stop = threading.Event()
        pool = ThreadPoolExecutor(self._concurrency, thread_name_prefix="insignia-endpoint")
        try:
            pending = [pool.submit(ask, each, stop) for each in asked]
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

    def _ask(self, question: str, options: RequestOptions, stop: threading.Event) -> Reply:
        """Send one question, with retries."""
        return self._connection.retry(lambda: self._request(question, options, stop), stop).reply

    def _request(self, question: str, options: RequestOptions, stop: threading.Event) -> Attempt:
        if not self._gives_log_probabilities:
            options = options.model_copy(update={"log_probabilities": None})
        request = Request(path(options), request_body(question, options, self._model, self._limit))
        return self._connection.send(request, functools.partial(self._read, options, self._limit), stop)

    def _read(self, options: RequestOptions, limit: Limit, status: int, content_type: str, content: bytes) -> Attempt:
        if limit == "max_tokens" and refuses_max_tokens(status, content):
            self._limit = "max_completion_tokens"
            return FIELD_REFUSED
        if options.log_probabilities and refuses_log_probabilities(status, content):
            self._gives_log_probabilities = False
            return FIELD_REFUSED
        return read_response(
            status, content_type, content, alternatives=options.log_probabilities or 0, most_tokens=options.max_tokens
        )


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
