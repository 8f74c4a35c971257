"""Chance that only the owner can repeat.

Fingerprints are drawn from HMAC-SHA256 over a 32-byte secret kept in the fingerprint file. A draw depends on the secret
and on the labels that lead to it, never on what was drawn before elsewhere: fingerprint 17 is the same whether it was
made alone or in a batch of a thousand. Training, whose chance needs no secrecy, takes an ordinary seed instead.
"""

import hmac
import secrets
from collections.abc import Sequence
from typing import Self, TypeVar

__all__ = ["SECRET_BYTES", "KeyedRandom"]

SECRET_BYTES = 32

_T = TypeVar("_T")


class KeyedRandom:
    """A stream of draws from a secret; the same secret and labels give the same stream on every machine."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._counter = 0

    @classmethod
    def fresh(cls) -> Self:
        """A stream from a new secret of the operating system's randomness."""
        return cls(secrets.token_bytes(SECRET_BYTES))

    @property
    def secret(self) -> bytes:
        """The secret itself, to be kept with mode 0600 and shown to no one."""
        return self._secret

    def derive(self, *labels: str | int) -> "KeyedRandom":
        """An independent stream for these labels, unaffected by draws made from this one."""
        # The length of each label is part of the message: ("a", "bc") and ("ab", "c") differ.
        parts = [str(label).encode() for label in labels]
        message = b"derive" + b"".join(len(part).to_bytes(4, "big") + part for part in parts)
        return KeyedRandom(hmac.digest(self._secret, message, "sha256"))

    def uniform(self) -> float:
        """A number in [0, 1) with 53 random bits."""
        return (self._next() >> 203) / 2**53

    def below(self, bound: int) -> int:
        """An integer in [0, bound); the modulo bias is below ``bound / 2**256``."""
        return self._next() % bound

    def choice(self, items: Sequence[_T]) -> _T:
        """One of the items, each equally likely."""
        return items[self.below(len(items))]

    def _next(self) -> int:
        block = hmac.digest(self._secret, b"draw" + self._counter.to_bytes(8, "big"), "sha256")
        self._counter += 1
        return int.from_bytes(block, "big")
