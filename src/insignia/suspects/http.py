"""An HTTP transport with one deadline for the whole exchange: connecting, headers, body and decoding.

httpx2's own time-outs apply to each read, so a host that sends a byte now and then could hold a client for ever. Here
httpcore2's network backend is replaced by one that limits every step to the time left.
"""

import contextlib
import ipaddress
import queue
import socket
import ssl
import threading
import time
import urllib.request
import zlib
from collections.abc import Iterable, Iterator
from typing import Any

import httpcore2
import httpx2

from insignia.errors import InputError

__all__ = ["DeadlineTransport"]

_CONNECTING_S = 10.0  # a running server accepts within a round trip, and a wrong address should fail soon
_IDLE_S = 5.0  # httpx2's default
_PIECE = 2**16  # bytes sent or decoded between two looks at the clock
_BROKEN = (httpcore2.TimeoutException, httpcore2.NetworkError, httpcore2.ProtocolError, httpcore2.ProxyError)


class DeadlineTransport(httpx2.BaseTransport):
    """An httpx2 transport for one server, with a deadline for each exchange. Uses the environment's proxy."""

    def __init__(self, url: httpx2.URL, *, timeout_s: float, connections: int) -> None:
        self._clock = _Clock(timeout_s)
        self._pool = httpcore2.ConnectionPool(
            ssl_context=httpx2.create_ssl_context() if url.scheme == "https" else None,
            proxy=_proxy(url),
            max_connections=connections,
            max_keepalive_connections=connections,
            keepalive_expiry=_IDLE_S,
            network_backend=_Network(self._clock),
        )

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request and start its clock. The body must be read by the same thread."""
        self._clock.start()
        target = httpcore2.URL(
            scheme=request.url.raw_scheme, host=request.url.raw_host, port=request.url.port, target=request.url.raw_path
        )
        with _translated():
            response = self._pool.handle_request(
                httpcore2.Request(request.method, target, headers=request.headers.raw, content=request.read())
            )
        headers = httpx2.Headers(response.headers)
        body = _Body(response, headers.pop("content-encoding", "identity").strip().lower(), self._clock)
        return httpx2.Response(response.status, headers=headers, stream=body)

    def close(self) -> None:
        """Close all connections."""
        self._pool.close()


class _Clock(threading.local):
    """The deadline of the current thread's exchange."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.start()

    def start(self) -> None:
        self._deadline = time.monotonic() + self._seconds

    def left(self) -> float:
        """Return the seconds left, above 0; raises ReadTimeout past the deadline."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise httpcore2.ReadTimeout
        return left


class _Network(httpcore2.NetworkBackend):
    def __init__(self, clock: _Clock) -> None:
        self._clock = clock
        self._network = httpcore2.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.NetworkStream:
        """Connect to the first address of the host that accepts."""
        ends = time.monotonic() + min(_CONNECTING_S, self._clock.left())
        failure: Exception = httpcore2.ConnectTimeout()
        for address in _addresses(host, port, ends - time.monotonic()):
            if (left := ends - time.monotonic()) <= 0:
                raise httpcore2.ConnectTimeout
            try:
                stream = self._network.connect_tcp(address, port, left, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
            else:
                return _Stream(stream, self._clock)
        raise failure


class _Stream(httpcore2.NetworkStream):
    """A connection whose reads and writes end at the deadline."""

    def __init__(self, stream: httpcore2.NetworkStream, clock: _Clock) -> None:
        self._stream = stream
        self._clock = clock

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._clock.left())

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for start in range(0, len(buffer), _PIECE):
            self._stream.write(buffer[start : start + _PIECE], self._clock.left())

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, self._clock.left()), self._clock)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _Body(httpx2.SyncByteStream):
    """A response body, decompressed in small pieces, since a few bytes may expand to gigabytes."""

    def __init__(self, response: httpcore2.Response, encoding: str, clock: _Clock) -> None:
        self._response = response
        self._encoding = encoding
        self._clock = clock

    def __iter__(self) -> Iterator[bytes]:
        if self._encoding not in ("identity", "", "gzip", "deflate"):  # only identity was requested
            raise httpx2.DecodingError("an encoding that was not requested")
        decoder = zlib.decompressobj(zlib.MAX_WBITS | 32) if self._encoding in ("gzip", "deflate") else None
        with _translated():
            for piece in self._response.iter_stream():
                if decoder is None:
                    yield piece
                    continue
                while (decoded := decoder.decompress(piece, _PIECE)) or decoder.unconsumed_tail:
                    self._clock.left()
                    yield decoded
                    piece = decoder.unconsumed_tail

    def close(self) -> None:
        self._response.close()


def _addresses(host: str, port: int, seconds: float) -> list[str]:
    """Resolve a host name in a thread, since the system's resolver has no time-out."""
    with contextlib.suppress(ValueError):
        return [str(ipaddress.ip_address(host))]
    answer: queue.SimpleQueue[list[str] | Exception] = queue.SimpleQueue()

    def look() -> None:
        try:
            answer.put([str(place[4][0]) for place in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)])
        except (OSError, UnicodeError) as error:
            answer.put(error)

    threading.Thread(target=look, daemon=True).start()
    try:
        found = answer.get(timeout=seconds)
    except queue.Empty:
        raise httpcore2.ConnectTimeout from None
    if isinstance(found, Exception):
        raise httpcore2.ConnectError from found
    return found


def _proxy(url: httpx2.URL) -> httpcore2.Proxy | None:
    """Return the proxy that HTTP_PROXY and similar variables set for this address."""
    named = urllib.request.getproxies()
    address = named.get(url.scheme) or named.get("all")
    if not address or urllib.request.proxy_bypass(url.host):
        return None
    try:
        proxy = httpx2.URL(address if "://" in address else f"http://{address}")
        return httpcore2.Proxy(
            httpcore2.URL(scheme=proxy.raw_scheme, host=proxy.raw_host, port=proxy.port, target=b"/"),
            auth=(proxy.username, proxy.password) if proxy.userinfo else None,
        )
    except (httpx2.InvalidURL, UnicodeError):
        raise InputError("the proxy in the environment is not an address; expected one like http://proxy:3128") from None


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """Translate httpcore2's errors to httpx2's, without their texts."""
    try:
        yield
    except _BROKEN as error:
        kind: type[httpx2.TransportError] = getattr(httpx2, type(error).__name__, httpx2.TransportError)
        raise kind("the exchange failed") from None
    except zlib.error:
        raise httpx2.DecodingError("damaged") from None
