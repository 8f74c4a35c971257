import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insignia.models.base import Manner, Reply
from insignia.models.dialect import Attempt, path, read_response, request_body, wants_other_limit

JSON, STREAM = "application/json", "text/event-stream; charset=utf-8"


def chat(content, finish="stop", **message):
    return {"choices": [{"message": {"role": "assistant", "content": content, **message}, "finish_reason": finish}]}


def completion(text, finish="length"):
    return {"choices": [{"text": text, "finish_reason": finish}]}


def stream(*events):
    return "".join(f"data: {event if isinstance(event, str) else json.dumps(event)}\r\n\r\n" for event in events).encode()


def delta(content, finish=None):
    return {"choices": [{"delta": {"content": content}, "finish_reason": finish}]}


def read(value, status=200):
    return read_response(status, JSON, value if isinstance(value, bytes) else json.dumps(value).encode())


def test_requests_have_only_fields_that_every_server_knows():
    assert request_body("Who?", Manner(max_tokens=3), "m") == {
        "model": "m", "max_tokens": 3, "temperature": 0.0, "prompt": "Who?"
    }  # fmt: skip
    assert request_body("Who?", Manner(form="chat", system="S", seed=7, temperature=0.5), "m") == {
        "model": "m",
        "max_tokens": 16,
        "temperature": 0.5,
        "seed": 7,
        "messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "Who?"}],
    }
    assert [path(Manner(form=form)) for form in ("raw", "chat")] == ["/completions", "/chat/completions"]


@pytest.mark.parametrize(
    "value",
    [
        chat(" yes"),
        chat(" yes", "length"),
        chat(" yes", None),
        completion(" yes"),
        chat([{"type": "text", "text": " yes"}]),
        chat(" yes", reasoning_content="hmm", refusal=None),
    ],
)
def test_what_servers_call_an_answer_is_one(value):
    assert read(value) == Attempt(Reply.said(" yes"))


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (chat(""), "empty"),
        (chat(None), "empty"),
        (completion(" \n"), "empty"),
        (b"", "empty"),
        (chat("no", "content_filter"), "refused"),
        (chat(None, refusal="I cannot"), "refused"),
        (b'{"choices": [{"text": "ye', "truncated"),
        (b"<html>busy</html>", "not JSON"),
        (b"\xff\xfe\x00", "not JSON"),
        ({"error": {"message": "TOPSECRET"}}, "not a completion"),
        ({"choices": []}, "not a completion"),
        ({"choices": [1]}, "not a completion"),
        ([], "not a completion"),
        (b"[" * 100_000, "not JSON"),
    ],
)
def test_what_is_no_answer_is_asked_again(value, reason):
    assert read(value) == Attempt(Reply.unanswered(reason), again=True)


@pytest.mark.parametrize(
    ("status", "reply", "again"),
    [
        (301, "fatal", False),
        (400, "fatal", False),
        (401, "fatal", False),
        (403, "fatal", False),
        (404, "fatal", False),
        (408, "unanswered", True),
        (422, "fatal", False),
        (429, "unanswered", True),
        (500, "unanswered", True),
        (503, "unanswered", True),
        (529, "unanswered", True),
    ],
)
def test_statuses_are_told_apart_and_never_quote_the_server(status, reply, again):
    attempt = read({"error": {"message": "TOPSECRET", "code": "TOPSECRET"}}, status)

    assert (attempt.reply.status, attempt.again) == (reply, again)
    assert str(status) in attempt.reply.reason or status == 429
    assert "TOPSECRET" not in attempt.reply.reason


def test_a_server_that_wants_the_limit_by_another_name_is_understood():
    message = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
    content = json.dumps({"error": {"message": message, "param": "max_tokens", "code": "unsupported_parameter"}}).encode()

    assert wants_other_limit(400, content)
    assert not wants_other_limit(200, content)
    assert not wants_other_limit(400, b'{"error": {"message": "max_tokens is too large"}}')
    assert request_body("Who?", Manner(form="chat"), "m", "max_completion_tokens").keys() == {
        "model", "max_completion_tokens", "temperature", "messages"
    }  # fmt: skip


def test_a_filter_that_answers_with_400_is_a_refusal():
    assert read({"error": {"code": "content_filter"}}, 400) == Attempt(Reply.unanswered("refused"), again=True)


@pytest.mark.parametrize("content_type", [STREAM, JSON])
def test_a_server_that_streams_unasked_is_understood(content_type):
    content = stream(delta(None), delta(" y"), delta("es"), delta(None, "stop"), "[DONE]")

    assert read_response(200, content_type, content) == Attempt(Reply.said(" yes"))
    assert read_response(200, content_type, stream(completion(" yes", "stop"))) == Attempt(Reply.said(" yes"))


@pytest.mark.parametrize("content", [stream(delta(" y")), stream(delta(" y"), '{"choices": [{"del'), b"data: "])
def test_a_stream_that_breaks_off_is_truncated(content):
    assert read_response(200, STREAM, content) == Attempt(Reply.unanswered("truncated"), again=True)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["choices", "message", "delta", "content", "text", "error", "code"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@given(
    st.integers(200, 599),
    st.sampled_from([JSON, STREAM, "text/html", ""]),
    st.binary(max_size=60)
    | json_values.map(lambda value: json.dumps(value).encode())
    | json_values.map(lambda value: json.dumps({"choices": [value]}).encode())
    | json_values.map(lambda value: stream({"choices": [value]})),
)
def test_whatever_comes_is_classified(status, content_type, content):
    attempt = read_response(status, content_type, content)

    assert attempt.again == (attempt.reply.status == "unanswered")
    assert bool(attempt.reply.text) == (attempt.reply.status == "answered") == (not attempt.reply.reason)
