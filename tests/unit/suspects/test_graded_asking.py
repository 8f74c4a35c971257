"""Against servers that speak the formats of real ones: each channel by each way, and no lie that gets through."""

import copy
import json
import random
import re

import httpx2
import pytest

from insignia.records import Candidate
from insignia.suspects.base import LEAST_SCORE, Inquiry, RequestOptions
from insignia.suspects.endpoint import Endpoint, RetryPolicy
from wire_formats import BEGIN, Host, score, token_id

WORDS = " pearl, amber, fjord, jetty, grove, olive, kelp, larch".split(",")
QUESTION = "The third of many roads TOPSECRET"
RAW, CHAT = RequestOptions(), RequestOptions(form="chat")
HASTE = RetryPolicy(first_wait_s=0, longest_wait_s=0, attempts=4)


def inquiry(question=QUESTION, words=WORDS, handicaps=()):
    return Inquiry(question, tuple(Candidate(text=word, token_id=token_id(word)) for word in words), handicaps)


def endpoint(host, retry_policy=HASTE, url="http://test.invalid/v1"):
    return Endpoint(url, model="m", retry_policy=retry_policy, transport=httpx2.MockTransport(host))


def weigh(host, channel, *inquiries, options=RAW, **more):
    return list(endpoint(host, **more).weigh(inquiries or [inquiry()], options, channel))


def ranked(scores):
    return sorted(range(len(scores)), key=lambda number: -scores[number])


def prompted(options):
    return f"user: {QUESTION}\nassistant:" if options.form == "chat" else QUESTION


def wanted(options=RAW, words=WORDS):
    return [score(BEGIN + prompted(options), word) for word in words]


SCORING = {
    "vLLM": (RAW, {"echo", "logprobs"}, {}),
    "SGLang": (RAW, {"echo", "logprobs", "regex"}, {}),
    "vLLM without echo": (RAW, {"prompt_logprobs"}, {}),
    "SGLang without echo": (RAW, {"/generate"}, {}),
    "one prompt at a time": (RAW, {"echo", "logprobs"}, {"lists": False}),
    "vLLM in chats": (CHAT, {"logprobs", "top_logprobs", "logprob_token_ids"}, {}),
    "older vLLM in chats": (CHAT, {"prompt_logprobs", "continue_final_message", "add_generation_prompt"}, {}),
}
RAISED = {  # the scores are those among the candidates alone, which have the same order
    "llama.cpp": (RAW, {"logprobs", "logit_bias", "samplers", "post_sampling_probs", "cache_prompt"}, {}),
    "llama.cpp in chats": (CHAT, {"logprobs", "top_logprobs", "logit_bias", "samplers", "post_sampling_probs"}, {}),
    "OpenAI": (RAW, {"logprobs", "logit_bias"}, {"ignores": False}),
    "OpenAI in chats": (CHAT, {"logprobs", "top_logprobs", "logit_bias"}, {"ignores": False}),
}


@pytest.mark.parametrize("server", SCORING)
def test_scores_are_the_log_probabilities_behind_the_question(server):
    options, fields, more = SCORING[server]
    (reply,) = weigh(Host(*fields, words=WORDS, **more), "scores", options=options)

    assert (reply.status, reply.channel, reply.text) == ("answered", "scores", "")
    assert reply.scores == pytest.approx(wanted(options), abs=1e-9)


@pytest.mark.parametrize("server", RAISED)
def test_scores_among_the_candidates_have_their_order(server):
    options, fields, more = RAISED[server]
    (reply,) = weigh(Host(*fields, words=WORDS, **more), "scores", options=options)
    differences = {round(found - log, 9) for found, log in zip(reply.scores, wanted(options), strict=True)}

    assert ranked(reply.scores) == ranked(wanted(options))
    assert len(differences) == 1


CHOOSING = {
    "vLLM": ({"structured_outputs"}, {}),
    "older vLLM": ({"guided_choice"}, {}),
    "SGLang": ({"regex"}, {}),
    "llama.cpp": ({"grammar"}, {}),
    "transformers serve": ({"logit_bias", "generation_config"}, {"ignores": False}),
    "OpenAI": ({"logit_bias"}, {"ignores": False}),
}


@pytest.mark.parametrize("options", [RAW, CHAT], ids=["raw", "chat"])
@pytest.mark.parametrize("server", CHOOSING)
def test_a_forced_choice_is_the_likeliest_candidate(server, options):
    fields, more = CHOOSING[server]
    (reply,) = weigh(Host(*fields, words=WORDS, **more), "choice", options=options)

    assert (reply.status, reply.channel) == ("answered", "choice")
    assert reply.text == WORDS[ranked(wanted(options))[0]]


@pytest.mark.parametrize("options", [RAW, CHAT], ids=["raw", "chat"])
@pytest.mark.parametrize(
    "fields",
    [{"structured_outputs", "logit_bias"}, {"grammar", "logit_bias"}, {"logit_bias", "generation_config"}, {"logit_bias"}],
)
def test_handicaps_decide_a_forced_choice_where_a_bias_is_known(fields, options):
    scores = wanted(options)
    last = ranked(scores)[-1]
    handicaps = tuple(12.25 if number == last else number / 64 for number in range(len(WORDS)))
    host = Host(*fields, words=WORDS, ignores="structured_outputs" in fields or "grammar" in fields)
    (reply,) = weigh(host, "choice", inquiry(handicaps=handicaps), options=options)

    assert reply.text == WORDS[last]
    biases = host.asked[-1][1]["logit_bias"]
    assert biases[str(token_id(WORDS[last]))] == 100
    assert biases[str(token_id(WORDS[0]))] == 100 - 12.25 + handicaps[0]


def test_a_server_that_takes_whole_biases_only_gets_them():
    def host(request):
        biases = json.loads(request.content).get("logit_bias", {})
        whole = all(type(bias) is int for bias in biases.values())
        return known(request) if whole else httpx2.Response(422, json={"error": "logit_bias: expected int"})

    known = Host("logit_bias", words=WORDS, ignores=False)
    last = ranked(wanted())[-1]
    handicaps = tuple(12.4 if number == last else 0.0 for number in range(len(WORDS)))
    (reply,) = weigh(host, "choice", inquiry(handicaps=handicaps))

    assert reply.text == WORDS[last]
    assert set(known.asked[-1][1]["logit_bias"].values()) == {100, 88}


@pytest.mark.parametrize("options", [RAW, CHAT], ids=["raw", "chat"])
@pytest.mark.parametrize("most", [20, 10, 5])
def test_the_likeliest_tokens_are_as_many_as_the_server_shows(options, most):
    def host(request):
        body = json.loads(request.content)
        asked = body["top_logprobs"] if options.form == "chat" else body["logprobs"]
        return many(request) if asked <= most else httpx2.Response(400, json={"error": "logprobs: at most a few"})

    many = Host("logprobs", "top_logprobs", words=WORDS)
    (reply,) = weigh(host, "top", options=options)
    logs = [each.log_probability for each in reply.alternatives]

    assert (reply.status, reply.channel, len(logs)) == ("answered", "top", most)
    assert logs == sorted((score(BEGIN + prompted(options), word) for word in many.words), reverse=True)[:most]


def test_a_bias_that_is_ignored_scores_nothing():
    """All candidates may be among the likeliest tokens of one question and not of the next."""
    host = Host("logprobs", words=WORDS[:1])
    host.words = [*WORDS, " other"]
    (reply,) = weigh(host, "scores", inquiry(words=[word for word in WORDS if score(BEGIN + QUESTION, word) < max(wanted())]))

    assert (reply.status, reply.reason) == ("unanswered", "the server does not score the candidates")


def test_several_tokens_of_a_candidate_are_added_and_joined_ones_tell_nothing():
    host = Host("echo", "logprobs", words=WORDS)
    (reply,) = weigh(host, "scores", inquiry(words=[" fjord", " half-way"]))
    (joined,) = weigh(Host("echo", "logprobs", words=WORDS), "scores", inquiry(words=["s", " fjord"]))
    before = BEGIN + QUESTION

    whole = score(before, " half") + score(before + " half", "-") + score(before + " half-", "way")
    assert reply.scores == pytest.approx([score(before, " fjord"), whole])
    assert (joined.status, joined.reason) == ("unanswered", "the server does not score the candidates")


@pytest.mark.parametrize("server", SCORING)
@pytest.mark.parametrize("generates", [True, False])
def test_a_token_that_was_generated_is_not_the_candidates(server, generates, monkeypatch):
    """A question that ends like a candidate, and servers that stop without a token."""
    options, fields, more = SCORING[server]
    host = Host(*fields, words=WORDS, **more)
    plain = host.choice

    def choice(prompt, number, body):
        made = plain(prompt, number, body)
        if body.get("echo") and not generates:
            made["logprobs"] = {name: values[:-1] for name, values in made["logprobs"].items()}
        return made

    monkeypatch.setattr(host, "choice", choice)
    (reply,) = weigh(host, "scores", inquiry(question=f"{QUESTION} fjord"), options=options)
    before = BEGIN + prompted(options).replace(QUESTION, f"{QUESTION} fjord")

    assert reply.scores == pytest.approx([score(before, word) for word in WORDS])


@pytest.mark.parametrize("channel", ["scores", "choice"])
def test_the_order_of_the_candidates_is_not_sent(channel):
    shuffled = random.Random(1).sample(WORDS, len(WORDS))
    bodies = []
    for words in (WORDS, shuffled):
        host = Host("echo", "logprobs", "guided_choice", words=WORDS)
        (reply,) = weigh(host, channel, inquiry(words=words))
        bodies.append([json.dumps(body) for _, body in host.asked])
        if channel == "scores":
            assert reply.scores == pytest.approx(wanted(words=words))

    assert bodies[0] == bodies[1]


CLOSED = {
    "scores": "the server does not score the candidates",
    "top": "the server gives no log-probabilities",
    "choice": "the reply was not bound by the choice",
}


@pytest.mark.parametrize("ignores", [True, False])
@pytest.mark.parametrize("options", [RAW, CHAT], ids=["raw", "chat"])
@pytest.mark.parametrize("channel", CLOSED)
def test_a_channel_that_a_server_does_not_offer_is_asked_for_once(channel, options, ignores):
    host = Host(words=[" no", " such"], ignores=ignores)
    suspect = endpoint(host)
    first, second = (list(suspect.weigh([inquiry()] * 9, options, channel)) for _ in range(2))

    assert {(reply.status, reply.channel, reply.reason) for reply in first + second} == {
        ("unanswered", channel, CLOSED[channel])
    }
    assert len(host.asked) <= 7


@pytest.mark.parametrize("server", SCORING)
def test_a_way_is_looked_for_once(server):
    options, fields, more = SCORING[server]
    alone, many = (Host(*fields, words=WORDS, **more) for _ in range(2))
    weigh(alone, "scores", options=options)
    weigh(alone, "scores", options=options)
    replies = weigh(many, "scores", *[inquiry(f"{number}. {QUESTION}") for number in range(12)], options=options)
    each = 1 if "time" not in server and "older" not in server else 1 + len(WORDS)

    assert {reply.status for reply in replies} == {"answered"}
    assert len({reply.scores for reply in replies}) == 12
    assert len(many.asked) - len(alone.asked) // 2 == 11 * each


def test_what_closes_later_is_unanswered_and_may_open_again():
    host, closed = Host("echo", "logprobs", words=WORDS), []
    suspect = endpoint(lambda request: httpx2.Response(400) if closed else host(request))
    found = []
    for now in ([], ["closed"], []):
        closed[:] = now
        (reply,) = suspect.weigh([inquiry()], RAW, "scores")
        found.append(reply.status)

    assert found == ["answered", "unanswered", "answered"]


PASSING = {
    "rate limited": lambda _: httpx2.Response(429, headers={"retry-after": "0"}),
    "server error (HTTP 503)": lambda _: httpx2.Response(503),
    "timed out": httpx2.ReadTimeout,
    "connection lost": httpx2.ReadError,
}


@pytest.mark.parametrize("trouble", PASSING)
@pytest.mark.parametrize("channel", CLOSED)
def test_what_passes_closes_nothing(channel, trouble):
    host = Host("echo", "logprobs", "grammar", words=WORDS)
    failing = True

    def answer(request):
        if not failing:
            return host(request)
        made = PASSING[trouble](request if callable(PASSING[trouble]) and not isinstance(PASSING[trouble], type) else "x")
        if isinstance(made, Exception):
            raise made
        return made

    suspect = endpoint(answer)
    (before,) = suspect.weigh([inquiry()], RAW, channel)
    failing = False
    (after,) = suspect.weigh([inquiry()], RAW, channel)

    assert (before.status, before.reason, before.channel) == ("unanswered", trouble, channel)
    assert after.status == "answered"


def test_a_server_that_now_and_then_fails_answers_everything():
    host, turn = Host("echo", "logprobs", words=WORDS), iter(range(10**6))
    failures = [httpx2.Response(500), httpx2.Response(429), httpx2.Response(200, text='{"choices": [')]

    def answer(request):
        number = next(turn)
        return failures[number % 9 // 3] if number > 2 and number % 3 else host(request)

    replies = weigh(answer, "scores", *[inquiry()] * 30, retry_policy=RetryPolicy(first_wait_s=0, attempts=12))
    assert {reply.status for reply in replies} == {"answered"}


@pytest.mark.parametrize("channel", CLOSED)
def test_no_key_and_no_server_end_the_run(channel):
    def unreachable(request):
        raise httpx2.ConnectError("TOPSECRET", request=request)

    for host, said in ((lambda _: httpx2.Response(401), "INSIGNIA_API_KEY"), (unreachable, "cannot be reached")):
        replies = weigh(host, channel, inquiry(), inquiry())
        assert [reply.status for reply in replies] == ["fatal"]
        assert said in replies[0].reason


def test_every_request_is_in_the_budget():
    host = Host("prompt_logprobs", words=WORDS)
    replies = weigh(host, "scores", *[inquiry()] * 4, retry_policy=RetryPolicy(budget=5, concurrency=1))

    assert [reply.status for reply in replies] == ["answered", "answered", "answered", "fatal"]
    assert "--budget" in replies[3].reason
    assert len(host.asked) == 5  # two ways before the right one


def test_a_server_that_wants_another_name_for_the_limit_gets_it():
    def host(request):
        body = json.loads(request.content)
        if "max_tokens" in body:
            return httpx2.Response(400, json={"error": {"message": "use max_completion_tokens"}})
        return plain(request)

    plain = Host("echo", "logprobs", "max_completion_tokens", words=WORDS, ignores=False)
    (reply,) = weigh(host, "scores")
    assert reply.scores == pytest.approx(wanted())


def test_native_paths_are_beside_the_version():
    for url, place in (("http://h/v1", "/generate"), ("http://h/api/v1/", "/api/generate"), ("http://h", "/generate")):
        paths = []
        weigh(lambda request, paths=paths: paths.append(request.url.path) or httpx2.Response(404), "scores", url=url)
        assert place in paths


def told(value, path):
    """Every place in a response, so that each can be made a lie."""
    yield path
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, part in parts:
        yield from told(part, (*path, name))


LIES = ["NaN", "Infinity", "7", "-1e999", "-1" + "0" * 400, "true", "null", '"x"', "[]", "{}", "[[[]]]", '"\\ud800"', "1e400"]


def lying(value, path, lie):
    """The response with one part replaced; the mark survives what the encoder does not write."""
    value = copy.deepcopy(value)
    if not path:
        return lie
    owner = value
    for name in path[:-1]:
        owner = owner[name]
    owner[path[-1]] = "@LIE@"
    return json.dumps(value).replace('"@LIE@"', lie)


@pytest.mark.parametrize(
    ("channel", "options", "fields"),
    [("scores", *SCORING[name][:2]) for name in SCORING if "one" not in name]
    + [("scores", *RAISED[name][:2]) for name in RAISED]
    + [("choice", CHAT, {"grammar"}), ("choice", RAW, {"regex"}), ("top", RAW, {"logprobs"})],
)
def test_no_lie_is_an_exception_and_what_is_no_number_scores_nothing(channel, options, fields):
    asked, draw, truth = inquiry("Of roads", WORDS[:2]), random.Random(2), []
    host = Host(*fields, words=WORDS)

    def honest(request):
        response = host(request)
        truth[:] = [response.json()]
        return response

    (reply,) = weigh(honest, channel, asked, options=options)
    assert reply.status == "answered"
    for path in told(truth[0], ()):
        for lie in draw.sample(LIES, 4):
            content = lying(truth[0], path, lie)

            def answer(request, content=content):
                response = host(request)
                return httpx2.Response(200, text=content) if response.status_code == 200 else response

            (reply,) = weigh(answer, channel, asked, options=options, retry_policy=RetryPolicy(attempts=1))
            assert reply.status in {"answered", "unanswered"}
            assert len(reply.scores) in (0, 2)
            assert all(LEAST_SCORE <= score <= 0 for score in reply.scores)
            if channel == "choice" and reply.status == "answered":
                assert reply.text.strip() in {word.strip() for word in WORDS[:2]}
            assert not re.search("TOPSECRET|pearl|amber", reply.reason)


HOSTILE = {
    "not JSON": "<html>TOPSECRET</html>",
    "nothing": "",
    "deep": "[" * 10**6,
    "lists without end": '{"choices": [' + "[]," * 10**6,
    "no choices": '{"choices": []}',
    "numbers without end": '{"choices": [{"index": 0, "logprobs": {"tokens": [' + '"a",' * 10**6 + '"a"], "token_logprobs": ['
    + "0," * 10**6 + "0]}}]}",
    "one choice too few": '{"choices": [{"index": 0, "logprobs": {"tokens": ["a"], "token_logprobs": [null]}}]}',
    "the same choice twice": '{"choices": [{"index": 0}, {"index": 0}]}',
}  # fmt: skip


@pytest.mark.parametrize("options", [RAW, CHAT], ids=["raw", "chat"])
@pytest.mark.parametrize("channel", CLOSED)
@pytest.mark.parametrize("mode", HOSTILE)
def test_hostile_responses_are_unanswered(mode, channel, options):
    (reply,) = weigh(lambda _: httpx2.Response(200, text=HOSTILE[mode]), channel, options=options)
    assert (reply.status, reply.reason, reply.scores) == ("unanswered", CLOSED[channel], ())


TELLING = {name: found for name, found in SCORING.items() if name != "vLLM in chats"}


@pytest.mark.parametrize("server", TELLING)
def test_the_tokens_of_a_text_are_told_with_their_places(server):
    options, fields, more = TELLING[server]
    host = Host(*fields, words=WORDS, **more)
    (reply,) = endpoint(host).tokens([inquiry(words=[" fjord", " half-way"])], options)
    before = BEGIN + prompted(options)
    places = [[("", " fjord")], [("", " half"), (" half", "-"), (" half-", "way")]]

    for tokens, parts in zip(reply.tokens, places, strict=True):
        found = [host.place(before + said, token) for said, token in parts]
        assert [token.log_probability for token in tokens] == pytest.approx([log for log, _ in found])
        assert [token.likeliest for token in tokens] == [not above for _, above in found]
        assert [token.rank for token in tokens] == [len(above) if "prompt_logprobs" in fields else None for _, above in found]


@pytest.mark.parametrize("options", [RAW, CHAT], ids=["raw", "chat"])
def test_a_server_that_does_not_score_prompts_tells_no_tokens(options):
    replies = list(endpoint(Host("logprobs", "grammar", words=WORDS)).tokens([inquiry()] * 3, options))

    assert [(reply.status, reply.tokens) for reply in replies] == [("answered", ())] * 3


def test_a_server_that_shows_only_the_tokens_it_was_sent_does_not_tell_which_are_likeliest(monkeypatch):
    host = Host("echo", "logprobs", words=WORDS)
    monkeypatch.setattr(host, "place", lambda before, token: (score(before, token), {}))
    (reply,) = endpoint(host).tokens([inquiry()], RAW)

    assert reply.tokens == ()
