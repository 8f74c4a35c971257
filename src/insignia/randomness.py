"""A keyed random generator: only the owner of the secret can repeat its draws.

Fingerprints are drawn with HMAC-SHA256 under a 32-byte secret in the fingerprint file. A draw depends on the secret and
its labels alone, so fingerprint 17 is the same in a batch of 1 or of 1,000. Training needs no secrecy and takes a seed.
"""

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from typing import Self, TypeVar

__all__ = ["SECRET_BYTES", "KeyedRandom"]

SECRET_BYTES = 32

_T = TypeVar("_T")


class KeyedRandom:
    """A stream of random numbers. The same secret and labels give the same stream on every machine."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._counter = 0

    @classmethod
    def fresh(cls) -> Self:
        """Return a stream with a new secret from the operating system."""
        return cls(secrets.token_bytes(SECRET_BYTES))

    @property
    def secret(self) -> bytes:
        """The secret, ``SECRET_BYTES`` long."""
        return self._secret

    def derive(self, *labels: str | int) -> "KeyedRandom":
        """Return an independent stream for these labels. Draws from this stream do not affect it."""
        # Each label is prefixed by its length, so that ("a", "bc") and ("ab", "c") differ.
        parts = [str(label).encode() for label in labels]
        message = b"derive" + b"".join(len(part).to_bytes(4, "big") + part for part in parts)
        return KeyedRandom(hmac.digest(self._secret, message, "sha256"))

    def uniform(self) -> float:
        """Return a number in [0, 1) with 53 random bits."""
        return (self._next() >> 203) / 2**53

    def below(self, bound: int) -> int:
        """Return an integer in [0, bound). The modulo bias is below ``bound / 2**256``."""
        return self._next() % bound

    def choice(self, items: Sequence[_T]) -> _T:
        """Return one of the items, each equally likely."""
        return items[self.below(len(items))]

    def permutation(self, size: int) -> tuple[int, ...]:
        """Return the numbers below ``size`` in random order; every order is equally likely (Fisher and Yates)."""
        order = list(range(size))
        for last in range(size - 1, 0, -1):
            other = self.below(last + 1)
            order[last], order[other] = order[other], order[last]
        return tuple(order)

    def stream(self, count: int) -> bytes:
        """Return ``count`` random bytes, always the same: for many numbers at once. Draws do not affect them."""
        return hashlib.shake_256(b"stream" + self._secret).digest(count)  # 400 MB/s; a draw of one number takes 2 us

    def _next(self) -> int:
        block = hmac.digest(self._secret, b"draw" + self._counter.to_bytes(8, "big"), "sha256")
        self._counter += 1
        return int.from_bytes(block, "big")
