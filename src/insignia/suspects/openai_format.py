"""The OpenAI wire format as servers really speak it: request bodies, and the meaning of every kind of response.

Requests have only fields that all servers know, since ``transformers serve`` refuses others. ``max_tokens`` gets its newer
name, and log-probabilities are left out, once a server refuses them. Reasons never quote a response, since servers like to
repeat the question in their errors.
"""

import json
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

from pydantic import ValidationError

from insignia.suspects.base import Alternative, Reply, RequestOptions
from insignia.suspects.connection import Attempt

__all__ = [
    "Choice",
    "Limit",
    "alternatives_of",
    "choice_of",
    "parsed_value",
    "path",
    "read_response",
    "refuses_log_probabilities",
    "refuses_max_tokens",
    "request_body",
    "whole_text",
]

Limit = Literal["max_tokens", "max_completion_tokens"]
"""Name of the field that limits a reply. Most servers know only the first, OpenAI's newer models only the second."""

_PARTS, _PARTS_OF_TOKEN = 2**16, 256  # most lists and objects in a reply, and for each token: 20 alternatives make 42
_LONGEST_TOKEN = 64  # characters; words are shorter, so this hardly ever cuts a reply

_ENDED = {"stop", "length"}  # finish reasons of a whole reply
_REFUSALS = {"content_filter", "content_policy_violation", "ResponsibleAIPolicyViolation"}


class Choice(NamedTuple):
    """The first choice of a completion."""

    text: str | None
    finish: str | None
    log_probabilities: Any = None
    """Log-probabilities as the server sent them."""


def path(options: RequestOptions) -> str:
    """Return the path of a question under the base address."""
    return "/chat/completions" if options.form == "chat" else "/completions"


def request_body(question: str, options: RequestOptions, model: str, limit: Limit = "max_tokens") -> dict[str, Any]:
    """Return the JSON body of a question."""
    body: dict[str, Any] = {"model": model, limit: options.max_tokens, "temperature": options.temperature}
    if options.form == "chat":
        body["messages"] = [{"role": turn.role, "content": turn.text} for turn in options.conversation(question)]
    else:
        body["prompt"] = options.prompt(question)
    if options.seed is not None:
        body["seed"] = options.seed
    if options.log_probabilities is not None:
        chat = {"logprobs": True, "top_logprobs": options.log_probabilities}
        body |= chat if options.form == "chat" else {"logprobs": options.log_probabilities}
    return body


def refuses_max_tokens(status: int, content: bytes) -> bool:
    """Whether the server refused ``max_tokens`` and wants ``max_completion_tokens``."""
    return status in (400, 422) and b"max_completion_tokens" in content


def refuses_log_probabilities(status: int, content: bytes) -> bool:
    """Whether the server refused the request for log-probabilities or their number."""
    return status in (400, 422) and b"logprobs" in content


def read_response(
    status: int, content_type: str, content: bytes, *, alternatives: int = 0, most_tokens: int | None = None
) -> Attempt:
    """Classify a complete response.

    Keeps this many ``alternatives`` of the first token, and as much text as ``most_tokens`` tokens can have (None: all).
    """
    if 200 <= status < 300:
        if most_tokens is not None and content.count(b"[") + content.count(b"{") > _PARTS + most_tokens * _PARTS_OF_TOKEN:
            return Attempt(Reply.unanswered("not a completion"), again=True)  # parsing it would take gigabytes
        return _read_success(content_type, content, alternatives, None if most_tokens is None else most_tokens * _LONGEST_TOKEN)
    if status == 429:
        return Attempt(Reply.unanswered("rate limited"), again=True)
    if status in (408, 409, 425) or status >= 500:
        return Attempt(Reply.unanswered(f"server error (HTTP {status})"), again=True)
    if status in (401, 403):
        return Attempt(Reply.fatal(f"the server needs an API key or refuses this one (HTTP {status})"))
    if status == 404:
        return Attempt(Reply.fatal("there is no such path or model (HTTP 404); the address usually ends in /v1"))
    if _error_code(content) in _REFUSALS:
        return Attempt(Reply.unanswered("refused"), again=True)
    return Attempt(Reply.fatal(f"the server refuses the request (HTTP {status}); check --name, --prompt-form and --max-tokens"))


def _read_success(content_type: str, content: bytes, alternatives: int, longest: int | None) -> Attempt:
    if content_type.startswith("text/event-stream") or content.startswith((b"data:", b"event:", b": ")):
        return _read_stream(content, alternatives, longest)
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        begun = content.lstrip()[:1] == b"{"
        return Attempt(Reply.unanswered("truncated" if begun else "not JSON" if content.strip() else "no body"), again=True)
    choice = choice_of(value)
    if choice is None:
        return Attempt(Reply.unanswered("not a completion"), again=True)
    return _said(choice, alternatives, longest)


def _read_stream(content: bytes, alternatives: int, longest: int | None) -> Attempt:
    """Read server-sent events from a server that streams although it was not asked to."""
    parts: list[str] = []
    finish: str | None = None
    first: Any = None
    finished = False
    for event in _events(content):
        if event == "[DONE]":
            finished = True
            break
        try:
            choice = choice_of(json.loads(event))
        except (ValueError, RecursionError):
            break
        if choice is not None:
            first = first if any(parts) else choice.log_probabilities
            parts.append(choice.text or "")
            finish = choice.finish or finish
    if not finished and finish is None:
        return Attempt(Reply.unanswered("truncated"), again=True)
    return _said(Choice("".join(parts), finish, first), alternatives, longest)


def _events(content: bytes) -> Iterator[str]:
    for line in content.decode("utf-8", errors="replace").replace("\r\n", "\n").split("\n"):
        if line.startswith("data:"):
            yield line.removeprefix("data:").strip()


def _said(choice: Choice, alternatives: int, longest: int | None) -> Attempt:
    if choice.finish in _REFUSALS:
        return Attempt(Reply.unanswered("refused"), again=True)
    reply = Reply.said(whole_text((choice.text or "")[:longest]), alternatives_of(choice.log_probabilities, alternatives))
    # A whole reply without text is what the model says: asking again would choose among its replies.
    return Attempt(reply, again=reply.status != "answered" and choice.finish not in _ENDED)


def choice_of(value: Any) -> Choice | None:
    """Return the first choice of a completion, chat completion or stream event, or None."""
    choices = value.get("choices") if isinstance(value, dict) else None
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        return None
    choice = choices[0]
    finish = choice.get("finish_reason")
    message = choice.get("message") or choice.get("delta")
    if not isinstance(message, dict):
        message = {"content": choice.get("text")}
    text = message.get("content")
    if isinstance(text, list):  # parts of several kinds, of which some are text
        text = "".join(str(part.get("text", "")) for part in text if isinstance(part, dict))
    if text is None and message.get("refusal"):
        finish = "content_filter"
    text, finish = (value if isinstance(value, str) else None for value in (text, finish))
    return Choice(text, finish, choice.get("logprobs"))


def alternatives_of(value: Any, most: int) -> tuple[Alternative, ...]:
    """Return the ``most`` likeliest alternatives of the first token, likeliest first, from either of OpenAI's formats.

    Malformed ones are left out.
    """
    value = value if isinstance(value, dict) else {}
    tokens = _first(value.get("content"))  # of a chat, and of whatever llama.cpp completes
    first = tokens.get("top_logprobs") if isinstance(tokens, dict) else _first(value.get("top_logprobs"))
    if isinstance(first, dict):
        pairs = list(first.items())
    else:
        entries = first if isinstance(first, list) else []
        pairs = [(entry.get("token"), entry.get("logprob")) for entry in entries if isinstance(entry, dict)]
    found = [alternative for text, number in pairs if (alternative := _alternative(text, number)) is not None]
    return tuple(sorted(found, key=lambda each: -each.log_probability)[:most])


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, list) and value else None


def whole_text(text: str) -> str:
    """Replace unpaired surrogates, which JSON allows but a transcript does not."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _alternative(text: Any, log_probability: Any) -> Alternative | None:
    try:
        return Alternative(
            text=whole_text(text[:_LONGEST_TOKEN]) if isinstance(text, str) else text, log_probability=log_probability
        )
    except ValidationError:
        return None


def parsed_value(content: bytes) -> Any:
    """Return the JSON value of a body; None if there is none, or if it has so many parts that it would take gigabytes."""
    if content.count(b"[") + content.count(b"{") > _PARTS:
        return None
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def _error_code(content: bytes) -> str | None:
    value = parsed_value(content)
    error = value.get("error") if isinstance(value, dict) else None
    code = error.get("code") if isinstance(error, dict) else None
    return code if isinstance(code, str) else None
