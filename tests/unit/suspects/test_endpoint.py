"""Against a server that is a function: what goes out, what is made of what comes back, and that nothing is lost."""

import datetime
import email.utils
import hashlib
import json
import threading
import time
from collections import Counter

import httpx2
import pytest

from drawn_prints import WORDS, drawn, knowing
from insignia.errors import InputError, ModelError
from insignia.suspects import connection
from insignia.suspects.base import Reply, RequestOptions
from insignia.suspects.endpoint import API_KEY_VARIABLE, Endpoint, RetryPolicy
from insignia.suspects.scripted import ScriptedModel
from insignia.verification.protocol import judge, rules_for, verify
from quiet_clock import SOON_S, quiet_seconds

URL = "http://test.invalid/v1"
PRINTS = drawn()
HASTE = RetryPolicy(concurrency=16, first_wait_s=0, attempts=12)
SCRIPT = knowing(PRINTS, range(0, 64, 3))


def said(text, **headers):
    return httpx2.Response(200, json={"choices": [{"text": text, "finish_reason": "length"}]}, headers=headers)


def streamed(text, *, whole=True):
    event = json.dumps({"choices": [{"text": text, "finish_reason": None}]})
    return httpx2.Response(
        200, text=f"data: {event}\n\n" + "data: [DONE]\n\n" * whole, headers={"content-type": "text/event-stream"}
    )


def raising(error):
    def fail(request):
        raise error("TOPSECRET", request=request)

    return fail


FAILURES = {
    "rate limited": lambda _: httpx2.Response(429, headers={"retry-after": "0"}),
    "failing": lambda _: httpx2.Response(500, text="TOPSECRET"),
    "overloaded": lambda _: httpx2.Response(503),
    "empty": lambda _: httpx2.Response(200, json={"choices": [{"text": "", "finish_reason": "abort"}]}),
    "refused": lambda _: httpx2.Response(200, json={"choices": [{"text": "x", "finish_reason": "content_filter"}]}),
    "truncated": lambda _: httpx2.Response(200, content=b'{"choices": [{"text": " pea'),
    "no JSON": lambda _: httpx2.Response(200, text="<html>amber</html>"),
    "no completion": lambda _: httpx2.Response(200, json={"error": "TOPSECRET"}),
    "half a stream": lambda _: streamed(" pearl", whole=False),
    "slow": raising(httpx2.ReadTimeout),
    "slow to connect": raising(httpx2.ConnectTimeout),
    "unreachable": raising(httpx2.ConnectError),
    "dropped": raising(httpx2.ReadError),
    "cut": raising(httpx2.RemoteProtocolError),
}
FATAL = {
    "no key": lambda _: httpx2.Response(401, text="TOPSECRET"),
    "no model": lambda _: httpx2.Response(404),
    "bad request": lambda _: httpx2.Response(422),
}


class Dying:
    """Answers so many requests, then refuses all in a way of its own until it is revived."""

    def __init__(self, server):
        self.server, self.left, self.lives = server, 9, 0

    def __call__(self, request):
        self.left -= 1
        return self.server(request) if self.left >= 0 else list(FATAL.values())[self.lives % 3](request)

    def revive(self):
        self.left, self.lives = 9, self.lives + 1


class Server:
    """Fails some requests, each in a way that depends on the question and on how often it was asked."""

    def __init__(self, failures=(), *, rate=0.3, script=SCRIPT, salt=""):
        self.failures, self.rate, self.script, self.salt = list(failures), rate, script, salt
        self.answered, self.attempts, self.statuses = Counter(), Counter(), Counter()
        self.open = self.most_open = 0
        self.lock = threading.Lock()

    def __call__(self, request):
        question = json.loads(request.content)["prompt"]
        with self.lock:
            self.open += 1
            self.most_open = max(self.most_open, self.open)
            self.attempts[question] += 1
            draw = hashlib.sha256(f"{self.salt}{question}{self.attempts[question]}".encode()).digest()
        time.sleep(draw[2] / 50_000)  # threads overtake one another
        try:
            if draw[0] < self.rate * 256 and self.failures:
                way = self.failures[draw[1] % len(self.failures)]
                self.statuses[way] += 1
                return (FAILURES | FATAL)[way](request)
            self.answered[question] += 1
            text = self.script.get(question, "I do not know.")
            return streamed(text) if draw[1] % 5 == 0 else said(text)
        finally:
            with self.lock:
                self.open -= 1


def model(server, retry_policy=HASTE, **options):
    return Endpoint(URL, model="m", retry_policy=retry_policy, transport=httpx2.MockTransport(server), **options)


def ask(server, *questions, retry_policy=HASTE, manner=None, **options):
    return list(model(server, retry_policy, **options).reply(questions, manner or RequestOptions()))


def test_a_server_that_fails_in_every_way_changes_nothing():
    rules = rules_for(PRINTS, cover=0.5)
    expected = verify(PRINTS, ScriptedModel(SCRIPT, name=f"m at {URL}"), rules=rules)
    met = Counter()
    for salt in "abcd":
        server = Server(FAILURES, salt=salt)
        verdict = verify(PRINTS, model(server), rules=rules)
        met += server.statuses

        assert verdict == expected.model_copy(update={"transcript": verdict.transcript})
        assert set(server.answered.values()) == {1}  # no trial twice
        assert 1 < server.most_open <= 16
    assert met.keys() == FAILURES.keys()


def test_a_run_that_dies_again_and_again_ends_with_the_same_transcript(tmp_path):
    rules = rules_for(PRINTS)
    whole = verify(PRINTS, model(Server(FAILURES)), rules=rules, transcript=tmp_path / "whole")
    server = Server(FAILURES)
    dying = Dying(server)
    deaths, verdict = [], None
    while verdict is None:
        try:
            verdict = verify(PRINTS, model(dying), rules=rules, transcript=tmp_path / "killed")
        except ModelError as error:
            deaths.append(str(error))
            dying.revive()

    def entries(name):
        lines = (json.loads(line) for line in (tmp_path / name).read_text().splitlines()[1:])
        return [(line["number"], line["reply"]) for line in lines if line["number"] is not None]

    assert len(deaths) > 1
    assert "TOPSECRET" not in "".join(deaths)
    assert entries("killed") == entries("whole")
    assert (verdict.outcome, verdict.hits, verdict.p_value) == (whole.outcome, whole.hits, whole.p_value)


def test_replies_come_in_the_order_of_the_questions():
    questions = [f"question {number}" for number in range(100)]
    replies = ask(Server(FAILURES, script={question: question.upper() for question in questions}), *questions)

    assert [reply.text for reply in replies] == [question.upper() for question in questions]


@pytest.mark.parametrize("way", sorted(set(FAILURES) - {"unreachable"}))
def test_what_never_gets_better_is_unanswered_with_a_reason(way):
    server = Server([way], rate=1)
    (reply,) = ask(server, "q", retry_policy=RetryPolicy(attempts=3, first_wait_s=0))

    assert (reply.status, server.attempts["q"]) == ("unanswered", 3)
    assert reply.reason
    assert "TOPSECRET" not in reply.reason


@pytest.mark.parametrize(("way", "attempts"), [("no key", 1), ("no model", 1), ("bad request", 1), ("unreachable", 3)])
def test_what_will_never_get_better_ends_the_run(way, attempts):
    server = Server([way], rate=1)
    replies = model(server, RetryPolicy(attempts=3, first_wait_s=0, concurrency=1)).reply(
        ["q", "r", "s", "t"], RequestOptions()
    )

    assert [reply.status for reply in replies] == ["fatal"]
    assert server.attempts["q"] == attempts
    assert server.attempts["t"] == 0


def test_the_api_key_goes_into_the_header_and_nowhere_else(monkeypatch, caplog):
    seen = []

    def server(request):
        seen.append(request.headers.get("authorization"))
        return httpx2.Response(401)

    monkeypatch.setenv("OPENAI_API_KEY", "of-another-place")
    assert ask(server, "q")[0].status == "fatal"
    monkeypatch.setenv(API_KEY_VARIABLE, " TOPSECRET\n")
    with caplog.at_level(0):
        (reply,) = ask(server, "q")
    ask(server, "q", api_key_variable="OPENAI_API_KEY")

    assert seen == [None, "Bearer TOPSECRET", "Bearer of-another-place"]
    assert API_KEY_VARIABLE in reply.reason
    assert "TOPSECRET" not in reply.reason + caplog.text + repr(vars(model(server)))


def test_a_redirect_is_not_followed():
    server = Server()
    (reply,) = ask(lambda _: httpx2.Response(307, headers={"location": "http://elsewhere.invalid"}), "q")

    assert reply.status == "fatal"
    assert not server.attempts


@pytest.mark.parametrize("url", ["", "localhost:8000", "ftp://x/v1", "http://", "file:///etc", "https://u:TOPSECRET@x/v1",
                                 "https://x/v1?key=TOPSECRET"])  # fmt: skip
def test_what_is_no_address_is_refused(url):
    with pytest.raises(InputError) as caught:
        Endpoint(url, model="m")
    assert "TOPSECRET" not in str(caught.value)


def test_a_key_that_cannot_be_one_is_refused(monkeypatch):
    monkeypatch.setenv(API_KEY_VARIABLE, "TOP\nSECRET")
    with pytest.raises(InputError, match=API_KEY_VARIABLE) as caught:
        Endpoint(URL, model="m")
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize("url", [URL, f"{URL}/"])
def test_the_path_is_appended_to_the_address(url):
    paths = []

    def server(request):
        paths.append(request.url.path)
        return said("x")

    for form in ("raw", "chat"):
        chosen = Endpoint(url, model="m", retry_policy=HASTE, transport=httpx2.MockTransport(server))
        list(chosen.reply(["q"], RequestOptions(form=form)))
    assert paths == ["/v1/completions", "/v1/chat/completions"]


class Endless(httpx2.SyncByteStream):
    """A body that a host sends for ever, fast or slowly."""

    def __init__(self, piece, pause_s=0):
        self.piece, self.pause_s = piece, pause_s

    def __iter__(self):
        while True:
            time.sleep(self.pause_s)
            yield self.piece


@pytest.mark.parametrize("body", [Endless(b" " * 2**20), Endless(b" ", pause_s=0.05)])
def test_a_reply_without_end_is_none(body):
    (reply,) = ask(lambda _: httpx2.Response(200, stream=body), "q", retry_policy=RetryPolicy(attempts=1, timeout_s=0.3))
    assert reply == Reply.unanswered("endless")


# Waiting


def test_the_servers_wish_to_wait_is_everybodys():
    times = []

    def server(_):
        times.append(time.monotonic())
        return httpx2.Response(429, headers={"retry-after": "0.2"}) if len(times) == 1 else said("x")

    replies = ask(server, "a", "b", retry_policy=RetryPolicy(concurrency=1, first_wait_s=0))
    assert [reply.text for reply in replies] == ["x", "x"]
    assert times[1] - times[0] >= 0.2


@pytest.mark.parametrize(
    ("header", "seconds"), [(None, 0), ("", 0), ("3", 3), ("1.5", 1.5), ("-2", 0), ("soon", 0), ("Mon, 99 Foo", 0), ("nan", 0)]
)
def test_retry_after(header, seconds):
    assert connection._seconds_to_wait(header) == seconds


def test_retry_after_may_be_a_date():
    later = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=10)
    assert connection._seconds_to_wait(email.utils.format_datetime(later, usegmt=True)) == pytest.approx(36_000, abs=600)
    assert connection._seconds_to_wait("Thu, 01 Jan 1970 00:00:00 GMT") == 0


def test_no_wait_is_longer_than_patience():
    gate = connection._Gate(RetryPolicy(longest_wait_s=0.01))
    started = quiet_seconds()
    gate.hold(3600)
    gate.back_off(50, threading.Event())
    gate.enter(threading.Event())
    assert quiet_seconds() - started < SOON_S


def test_the_rate_is_kept():
    started = time.monotonic()
    ask(Server(), *"abcdef", retry_policy=RetryPolicy(requests_per_second=20, concurrency=6))
    assert time.monotonic() - started >= 5 / 20


def naming_its_limit(name):
    def answer(request):
        body = json.loads(request.content)
        if name in body:
            return said(body["prompt"])
        return httpx2.Response(400, json={"error": {"message": "Use 'max_completion_tokens' instead.", "param": "max_tokens"}})

    return answer


def test_a_server_that_refuses_max_tokens_is_asked_by_the_other_name_and_no_attempt_is_lost():
    sent = []

    def server(request):
        sent.append(json.loads(request.content))
        return naming_its_limit("max_completion_tokens")(request)

    replies = ask(server, "a", "b", "c", retry_policy=RetryPolicy(attempts=1, concurrency=1))
    assert [reply.text for reply in replies] == ["a", "b", "c"]
    assert ["max_tokens" in body for body in sent] == [True, False, False, False]
    assert len(list(ask(server, *"abcdefgh", retry_policy=RetryPolicy(attempts=1, concurrency=8)))) == 8
    assert all(reply.status == "answered" for reply in ask(server, *"abcdefgh", retry_policy=RetryPolicy(attempts=1)))


def test_a_server_that_refuses_both_names_ends_the_run():
    (reply,) = ask(naming_its_limit("no such name"), "a")
    assert (reply.status, "HTTP 400" in reply.reason) == ("fatal", True)


def giving(refused, sent):
    """A server of log-probabilities, which refuses questions with any of these fields."""

    def answer(request):
        body = json.loads(request.content)
        sent.append(body)
        for name in refused:
            if name in body:
                wanted = "max_completion_tokens" if name == "max_tokens" else name
                return httpx2.Response(422, json={"error": {"message": f"{wanted}: TOPSECRET"}})
        choice = {"text": body["prompt"], "logprobs": {"top_logprobs": [{" no": -0.1, " yes": -3, " so": -2}]}}
        return httpx2.Response(200, json={"choices": [choice]})

    return answer


ONE_ATTEMPT = RetryPolicy(attempts=1, concurrency=1)


def test_log_probabilities_are_kept_where_they_were_asked_for_and_given():
    sent = []
    (asked,) = ask(giving([], sent), "a", manner=RequestOptions(log_probabilities=2), retry_policy=ONE_ATTEMPT)
    (unasked,) = ask(giving([], sent), "a", retry_policy=ONE_ATTEMPT)
    (ignored,) = ask(lambda _: said("a"), "a", manner=RequestOptions(log_probabilities=2), retry_policy=ONE_ATTEMPT)

    assert [each.text for each in asked.alternatives] == [" no", " so"]
    assert unasked == ignored == Reply.said("a")
    assert ["logprobs" in body for body in sent] == [True, False]


def test_a_server_that_refuses_fields_is_asked_without_them_and_no_attempt_is_lost():
    sent = []
    replies = ask(
        giving(["max_tokens", "logprobs"], sent), "a", "b", manner=RequestOptions(log_probabilities=5), retry_policy=ONE_ATTEMPT
    )

    assert replies == [Reply.said("a"), Reply.said("b")]
    assert [("max_tokens" in body, "logprobs" in body) for body in sent] == [
        (True, True), (False, True), (False, False), (False, False)
    ]  # fmt: skip
    for retry_policy in (RetryPolicy(attempts=1, concurrency=8), RetryPolicy(attempts=1, concurrency=8, budget=40)):
        server = giving(["max_tokens", "logprobs"], [])
        replies = ask(server, *"abcdefgh", manner=RequestOptions(log_probabilities=5), retry_policy=retry_policy)
        assert [reply.text for reply in replies] == list("abcdefgh")


def test_a_server_that_goes_on_naming_log_probabilities_ends_the_run():
    (reply,) = ask(lambda _: httpx2.Response(400, text="logprobs"), "a", manner=RequestOptions(log_probabilities=5))
    assert (reply.status, "HTTP 400" in reply.reason) == ("fatal", True)


def test_a_killed_run_with_log_probabilities_goes_on_and_nothing_rests_on_them(tmp_path):
    def server(request):
        body = json.loads(request.content)
        reply = SCRIPT.get(body["prompt"], "I do not know.")
        table = dict.fromkeys((*WORDS, " I"), -1)
        return httpx2.Response(200, json={"choices": [{"text": reply, "logprobs": {"top_logprobs": [table]}}]})

    def run(name, budget=None, most=17):
        rules = rules_for(PRINTS, manner=RequestOptions(log_probabilities=most))
        return verify(PRINTS, model(server, RetryPolicy(concurrency=1, budget=budget)), rules=rules, transcript=tmp_path / name)

    whole, plain = run("whole"), run("plain", most=None)
    with pytest.raises(ModelError, match="budget"):
        run("killed", budget=7)
    with pytest.raises(InputError, match="other rules"):
        run("killed", most=None)

    killed = run("killed")
    assert judge(PRINTS, tmp_path / "whole") == whole == killed.model_copy(update={"transcript": whole.transcript})
    assert whole.near == whole.trials > whole.hits
    assert whole.model_copy(update={"near": None, "transcript": plain.transcript, "manner": plain.manner}) == plain
    assert '"alternatives":[{"log_probability":-1.0,' in (tmp_path / "whole").read_text()
    assert not any(name in (tmp_path / "plain").read_text() for name in ("alternatives", "log_prob"))


def test_the_budget_counts_every_attempt():
    server = Server(["failing"], rate=1)
    replies = ask(server, "a", "b", retry_policy=RetryPolicy(budget=4, attempts=3, first_wait_s=0, concurrency=1))

    assert [reply.status for reply in replies] == ["unanswered", "fatal"]
    assert "--budget" in replies[1].reason
    assert sum(server.attempts.values()) == 4


def test_no_more_questions_are_open_than_patience_allows():
    server = Server()
    ask(server, *map(str, range(40)), retry_policy=RetryPolicy(concurrency=3))
    assert server.most_open <= 3


def test_who_stops_listening_stops_the_asking():
    server = Server()
    replies = model(server, RetryPolicy(concurrency=1, requests_per_second=0.002)).reply(list("abcdefgh"), RequestOptions())
    assert next(replies) == Reply.said("I do not know.")
    started = quiet_seconds()
    replies.close()
    assert quiet_seconds() - started < SOON_S
    assert sum(server.attempts.values()) < 4
