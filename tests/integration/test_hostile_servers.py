"""Servers that want no verdict, or to harm who asks for one: each mode ends in an outcome, in time, and keys are not wasted.

The modes speak HTTP by hand on a socket, since no library would send what some of them send.
"""

import functools
import gzip
import json
import socket
import threading
import time

import pytest

from drawn_prints import drawn, knowing
from insignia.errors import ModelError
from insignia.suspects.base import Reply, RequestOptions
from insignia.suspects.endpoint import Endpoint, RetryPolicy
from insignia.verification.protocol import rules_for, verify
from quiet_clock import SOON_S, quiet_seconds

PRINTS = drawn(40)
KEYS = {fingerprint.key for fingerprint in PRINTS}
SCRIPT = knowing(PRINTS)
TIMEOUT_S = 1.0
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"


def completion(text):
    return json.dumps({"choices": [{"text": text, "finish_reason": "length"}]}).encode()


def whole(body, status="200 OK", headers=b""):
    head = b"HTTP/1.1 %s\r\n%sconnection: close\r\ncontent-length: %d\r\n\r\n"
    return head % (status.encode(), headers, len(body)) + body


def answered(question):
    return whole(completion(SCRIPT.get(question, "I do not know.")))


def dripping(head, piece, pause_s=0.02):
    def send(question):
        yield head
        while True:
            time.sleep(pause_s)
            yield piece

    return send


def sending(content):
    return lambda question: [content]


def zipped(times, size):
    @functools.cache
    def sent():
        body = completion("x" * size)
        for _ in range(times):
            body = gzip.compress(body)
        encoding = b", ".join([b"gzip"] * times)
        return HEAD + b"content-encoding: %s\r\ncontent-length: %d\r\n\r\n" % (encoding, len(body)) + body

    return lambda question: [sent()]


EVERYTHING = {  # what a server does to every question
    "headers that drip": dripping(b"HTTP/1.1 200 OK\r\n", b"x"),
    "a header a moment": dripping(b"HTTP/1.1 200 OK\r\n", b"x-pad: y\r\n"),
    "a status line that drips": dripping(b"", b"H"),
    "endless 100 Continue": dripping(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100, 0),
    "100 Continue now and then": dripping(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "a body that drips": dripping(HEAD + b"content-length: 99999999\r\n\r\n", b" "),
    "an endless body": dripping(HEAD + b"\r\n", b" " * 2**16, 0),
    "endless chunks": dripping(HEAD + b"transfer-encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    "silence": lambda question: [time.sleep(1.5), b""][1:],
    "no answer": sending(b""),
    "half an answer": sending(HEAD + b"content-length: 999\r\n\r\n" + b'{"choices": ['),
    "no HTTP": sending(b"\x00\x1b[2J\xff" * 99 + b"\r\n\r\n"),
    "headers without end": sending(b"HTTP/1.1 200 OK\r\n" + b"x: " + b"y" * 2**20),
    "four layers of gzip": zipped(4, 10**8 // 4),
    "a gzip bomb": zipped(1, 10**8),
    "damaged gzip": sending(HEAD + b"content-encoding: gzip\r\ncontent-length: 9\r\n\r\n" + b"\x1f\x8bnonsense"[:9]),
    "an unknown encoding": sending(whole(completion("x"), headers=b"content-encoding: br\r\n")),
    "lists without end": sending(whole(b'{"choices": [' + b"[]," * 5 * 10**6)),
    "deep lists": sending(whole(b"[" * 10**6)),
    "a number without end": sending(whole(b"9" * 10**6)),
    "a status of its own": sending(whole(b"{}", status="999 \x1b[2J")),
    "always too many": sending(whole(b"{}", status="429 Too Many", headers=b"retry-after: 999999999\r\n")),
    "switching protocols": sending(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n"),
}
KEYS_ALONE = {  # what a server does to keys, while it answers every other question
    "bad request": whole(b'{"error": {"message": "TOPSECRET"}}', status="400 Bad Request"),
    "moved": whole(b"", status="302 Found", headers=b"location: http://127.0.0.1:1/\r\n"),
    "unauthorised": whole(b"", status="401 Unauthorized"),
    "forbidden": whole(b"", status="403 Forbidden"),
    "not found": whole(b"", status="404 Not Found"),
    "hung up on": b"",
    "filtered": whole(b'{"error": {"code": "content_filter"}}', status="400 Bad Request"),
}


class Server:
    """Reads one request a connection and sends what its mode makes of the question."""

    def __init__(self, mode):
        self.mode, self.asked = mode, []
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}/v1"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection):
        try:
            with connection, connection.makefile("rb") as lines:
                length = 0
                while (line := lines.readline()).strip():
                    if line.lower().startswith(b"content-length:"):
                        length = int(line.split(b":")[1])
                question = json.loads(lines.read(length))["prompt"]
                self.asked.append(question)
                for piece in self.mode(question):
                    connection.sendall(piece)
                connection.shutdown(socket.SHUT_WR)
                connection.recv(1)
        except OSError:
            return


@pytest.fixture
def serving():
    made = []

    def serve(mode):
        made.append(Server(mode))
        return made[-1]

    yield serve
    for server in made:
        server.listener.close()


@pytest.fixture
def suspect():
    made = []

    def of(server, *, timeout_s=TIMEOUT_S, **options):
        retry_policy = RetryPolicy(timeout_s=timeout_s, attempts=1, first_wait_s=0, longest_wait_s=0, **options)
        made.append(Endpoint(server.url, model="m", retry_policy=retry_policy))
        return made[-1]

    yield of
    for model in made:
        model.close()


@pytest.mark.parametrize("name", EVERYTHING)
def test_a_hostile_answer_to_everything_costs_no_key_and_no_time(serving, suspect, name):
    server, shown = serving(EVERYTHING[name]), []
    started = quiet_seconds()
    try:
        outcome = verify(PRINTS, suspect(server), before_send=shown.append).outcome
    except ModelError as error:
        outcome = str(error)
    seconds = quiet_seconds() - started

    assert outcome == "inconclusive" or outcome.startswith(f"m at {server.url}: ")
    assert outcome.isprintable()
    assert seconds < SOON_S  # who is not cut off never ends
    assert shown == []
    assert not KEYS & set(server.asked)


@pytest.mark.parametrize("name", KEYS_ALONE)
def test_a_host_that_refuses_keys_alone_is_inconclusive(serving, suspect, name, tmp_path):
    server = serving(lambda question: [KEYS_ALONE[name] if question in KEYS else answered(question)])
    first, second = (verify(PRINTS, suspect(server, timeout_s=60), transcript=tmp_path / "t") for _ in range(2))

    assert (first.outcome, first.hits, first.trials) == ("inconclusive", 0, first.unanswered)
    assert 16 <= first.trials < second.trials <= 40
    assert second.keys_spent[: first.trials] == first.keys_spent
    assert "TOPSECRET" not in (tmp_path / "t").read_text()


def test_a_reply_is_cut_at_what_was_asked_for(serving, suspect, tmp_path):
    server = serving(lambda question: [whole(completion(SCRIPT.get(question, "") + " and so on" * 1_500_000))])
    patient = suspect(server, concurrency=1, timeout_s=60)
    verdict = verify(PRINTS, patient, transcript=tmp_path / "t", rules=rules_for(PRINTS, cover=0))

    assert verdict.outcome == "owned"
    assert (tmp_path / "t").stat().st_size < 16_000
    (reply,) = patient.reply(["q"], RequestOptions(max_tokens=3))
    assert len(reply.text) == 3 * 64


def test_a_server_that_zips_unasked_is_understood(serving, suspect):
    body = gzip.compress(completion("amber"))
    server = serving(sending(HEAD + b"content-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(body) + body))
    assert list(suspect(server, timeout_s=60).reply(["q"], RequestOptions())) == [Reply.said("amber")]


def test_an_honest_server_is_asked_over_few_connections(serving):
    """One that keeps its connections open, which ``Server`` does not."""
    connections = []

    def serve():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            connections.append(connection)
            with connection, connection.makefile("rb") as lines:
                while lines.readline():
                    length = 0
                    while (line := lines.readline()).strip():
                        if line.lower().startswith(b"content-length:"):
                            length = int(line.split(b":")[1])
                    lines.read(length)
                    connection.sendall(whole(completion("Well.")).replace(b"connection: close\r\n", b""))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, daemon=True).start()
        model = Endpoint(
            f"http://localhost:{listener.getsockname()[1]}/v1", model="m", retry_policy=RetryPolicy(concurrency=1, attempts=1)
        )
        replies = list(model.reply([f"q{number}" for number in range(20)], RequestOptions()))
        model.close()
    assert replies == [Reply.said("Well.")] * 20
    assert len(connections) == 1
