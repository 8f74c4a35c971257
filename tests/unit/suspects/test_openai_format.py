import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insignia.suspects.base import Alternative, Reply, RequestOptions
from insignia.suspects.connection import Attempt
from insignia.suspects.openai_format import (
    path,
    read_response,
    refuses_log_probabilities,
    refuses_max_tokens,
    request_body,
)

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
    assert request_body("Who?", RequestOptions(max_tokens=3), "m") == {
        "model": "m", "max_tokens": 3, "temperature": 0.0, "prompt": "Who?"
    }  # fmt: skip
    assert request_body("Who?", RequestOptions(form="chat", system="S", seed=7, temperature=0.5), "m") == {
        "model": "m",
        "max_tokens": 16,
        "temperature": 0.5,
        "seed": 7,
        "messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "Who?"}],
    }
    assert [path(RequestOptions(form=form)) for form in ("raw", "chat")] == ["/completions", "/chat/completions"]


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
        (chat("", "abort"), "empty"),
        (chat(None, None), "empty"),
        (completion(" \n", "abort"), "empty"),
        (b"", "no body"),
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


@pytest.mark.parametrize("value", [chat(""), chat(None), completion(" \n")])
def test_a_model_that_ends_at_once_is_not_asked_again(value):
    assert read(value) == Attempt(Reply.unanswered("empty"))


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

    assert refuses_max_tokens(400, content)
    assert not refuses_max_tokens(200, content)
    assert not refuses_max_tokens(400, b'{"error": {"message": "max_tokens is too large"}}')
    assert request_body("Who?", RequestOptions(form="chat"), "m", "max_completion_tokens").keys() == {
        "model", "max_completion_tokens", "temperature", "messages"
    }  # fmt: skip


def with_log_probabilities(value, log_probabilities):
    (choice,) = value["choices"]
    return {"choices": [choice | {"logprobs": log_probabilities}]}


def listed(*pairs):
    return {"content": [{"token": "x", "top_logprobs": [{"token": text, "logprob": number} for text, number in pairs]}]}


def kept(content, most=3, content_type=JSON):
    content = content if isinstance(content, bytes) else json.dumps(content).encode()
    reply = read_response(200, content_type, content, alternatives=most).reply
    assert reply.text == " yes"
    return [(each.text, each.log_probability) for each in reply.alternatives]


def test_log_probabilities_are_asked_for_in_either_form():
    assert request_body("Who?", RequestOptions(log_probabilities=5), "m")["logprobs"] == 5
    body = request_body("Who?", RequestOptions(form="chat", log_probabilities=5), "m")
    assert (body["logprobs"], body["top_logprobs"]) == (True, 5)
    assert refuses_log_probabilities(400, b"{'top_logprobs'} are not supported")
    assert not refuses_log_probabilities(500, b"logprobs")
    assert not refuses_log_probabilities(422, b"seed")


PAIRS = [(" no", -2.5), (" yes", -0.25), (" so", -3), (" well", -2)]
LIKELIEST = [(" yes", -0.25), (" well", -2.0), (" no", -2.5)]


def test_alternatives_of_the_first_token_are_read_in_either_form():
    by_text = {"tokens": [" yes", "!"], "top_logprobs": [dict(PAIRS), {"!": -0.1}]}
    for value in (
        with_log_probabilities(completion(" yes"), by_text),
        with_log_probabilities(chat(" yes"), listed(*PAIRS)),
        with_log_probabilities(completion(" yes"), listed(*PAIRS)),  # llama.cpp
    ):
        assert kept(value) == LIKELIEST
        assert kept(value, most=0) == []
        assert kept(value, most=1) == LIKELIEST[:1]


def test_of_a_stream_the_first_piece_with_a_text_counts():
    first, second = with_log_probabilities(delta(" y"), listed(*PAIRS)), with_log_probabilities(delta("es"), listed((" x", -1)))

    assert kept(stream(delta(""), first, second, "[DONE]"), content_type=STREAM) == LIKELIEST
    assert kept(stream(delta(" y"), second, "[DONE]"), content_type=STREAM) == []


@pytest.mark.parametrize("number", [0.5, float("nan"), float("-inf"), float("inf"), True, False, None, "-1", [], -(10**400)])
def test_what_is_no_log_probability_is_left_out(number):
    assert kept(with_log_probabilities(chat(" yes"), listed((" a", number), (" b", -1)))) == [(" b", -1.0)]
    assert kept(with_log_probabilities(completion(" yes"), {"top_logprobs": [{" a": number, " b": -1}]})) == [(" b", -1.0)]


def test_a_huge_list_is_cut():
    assert len(kept(with_log_probabilities(chat(" yes"), listed(*[("a", -i) for i in range(10_000)])), most=20)) == 20


def test_an_answer_without_text_has_no_alternatives():
    content = json.dumps(with_log_probabilities(completion(" "), listed(*PAIRS))).encode()
    assert read_response(200, JSON, content, alternatives=3).reply == Reply.unanswered("empty")


def test_half_a_character_cannot_spoil_a_transcript():
    value = with_log_probabilities(completion("a\ud800"), listed(("\udc00", -1)))
    reply = read_response(200, JSON, json.dumps(value).encode(), alternatives=3).reply

    assert reply == Reply.said("a\ufffd", (Alternative(text="\ufffd", log_probability=-1),))
    assert Reply.model_validate_json(json.dumps(reply.model_dump(mode="json"))) == reply


log_probabilities = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["content", "top_logprobs", "token", "logprob"]) | st.text(max_size=3), inner, max_size=4
        )
    ),
    max_leaves=20,
)


@given(
    log_probabilities
    | st.fixed_dictionaries({"top_logprobs": log_probabilities})
    | st.fixed_dictionaries({"content": st.lists(st.fixed_dictionaries({"top_logprobs": log_probabilities}), max_size=2)}),
    st.integers(0, 20),
)
def test_whatever_log_probabilities_come_the_reply_stands(value, most):
    found = kept(with_log_probabilities(completion(" yes"), value), most)

    assert len(found) <= most
    numbers = [number for _, number in found]
    assert numbers == sorted(numbers, reverse=True)
    assert all(-float("inf") < number <= 0 for number in numbers)


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
