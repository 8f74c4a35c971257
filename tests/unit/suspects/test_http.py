"""The network as the client of one server needs it: through a proxy where there is one, and soon over where there is none."""

import socket
import threading

import httpx2
import pytest

from insignia.errors import InputError
from insignia.suspects import http as wire
from insignia.suspects.base import Reply, RequestOptions
from insignia.suspects.endpoint import Endpoint, RetryPolicy
from insignia.suspects.http import DeadlineTransport
from quiet_clock import SOON_S, quiet_seconds

HASTE = RetryPolicy(attempts=1, timeout_s=2, concurrency=1)
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def test_a_server_is_asked_through_the_proxy_of_the_environment(monkeypatch):
    reached = []

    def serve():
        connection, _ = listener.accept()
        with connection, connection.makefile("rb") as lines:
            reached.extend(iter(lambda: lines.readline().strip(), b""))
            body = b'{"choices": [{"text": "amber"}]}'
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setenv("http_proxy", f"http://user:word@127.0.0.1:{listener.getsockname()[1]}")
        thread = threading.Thread(target=serve)
        thread.start()
        model = Endpoint("http://suspect.invalid/v1", model="m", retry_policy=HASTE)
        assert list(model.reply(["q"], RequestOptions())) == [Reply.said("amber")]
        model.close()
        thread.join()
    assert reached[0] == b"POST http://suspect.invalid/v1/completions HTTP/1.1"
    assert b"proxy-authorization: basic dxnlcjp3b3jk" in [line.lower() for line in reached]


@pytest.mark.parametrize(
    ("address", "spared", "found"),
    [
        ("http://proxy:3128", "", (b"http", b"proxy", 3128)),
        ("proxy:3128", "", (b"http", b"proxy", 3128)),
        ("http://proxy:3128", "suspect.invalid", None),
        ("", "", None),
    ],
)
def test_the_environment_names_a_proxy_and_whom_to_spare_it(monkeypatch, address, spared, found):
    monkeypatch.setenv("https_proxy", address)
    monkeypatch.setenv("no_proxy", spared)
    proxy = wire._proxy(httpx2.URL("https://suspect.invalid/v1"))
    assert (proxy and (proxy.url.scheme, proxy.url.host, proxy.url.port)) == found


def test_a_proxy_that_is_no_address_is_one_line(monkeypatch):
    monkeypatch.setenv("http_proxy", "http://TOPSECRET@[::1")
    with pytest.raises(InputError, match="proxy") as caught:
        DeadlineTransport(httpx2.URL("http://x"), timeout_s=1, connections=1)
    assert "TOPSECRET" not in str(caught.value)


def test_a_name_that_nobody_knows_cannot_be_reached():
    (reply,) = Endpoint("http://nobody.invalid/v1", model="m", retry_policy=HASTE).reply(["q"], RequestOptions())
    assert (reply.status, "cannot be reached" in reply.reason) == ("fatal", True)


def test_a_resolver_that_never_answers_is_not_waited_for(monkeypatch):
    slow = threading.Event()
    monkeypatch.setattr(wire.socket, "getaddrinfo", lambda *_, **__: slow.wait(600) and [])
    started = quiet_seconds()
    (reply,) = Endpoint("http://slow.invalid/v1", model="m", retry_policy=RetryPolicy(attempts=1, timeout_s=0.2)).reply(
        ["q"], RequestOptions()
    )
    slow.set()
    assert reply == Reply.unanswered("timed out")
    assert quiet_seconds() - started < SOON_S


def test_all_addresses_of_a_name_share_one_clock(monkeypatch):
    """Documentation addresses (RFC 5737), which nobody has; some networks answer at once that they are not there."""
    monkeypatch.setattr(wire, "_addresses", lambda *_: [f"192.0.2.{number}" for number in range(1, 255)])
    started = quiet_seconds()
    (reply,) = Endpoint("http://many.invalid/v1", model="m", retry_policy=RetryPolicy(attempts=1, timeout_s=0.5)).reply(
        ["q"], RequestOptions()
    )
    assert reply.status != "answered"
    assert quiet_seconds() - started < SOON_S
