"""Challenges: an order of keys that neither the owner nor the suspect can choose or predict.

It depends on the published root and on the judge's nonce, which is chosen later. So the owner can neither ask only keys that
are known to work nor make a set that fits the suspect's replies.
"""

import hashlib

from insignia.errors import InputError

__all__ = ["MIN_NONCE", "challenge_order"]

MIN_NONCE = 16
"""Fewest characters of a nonce: at least 64 random bits, so that the owner cannot prepare for it."""


def challenge_order(root: str, nonce: str, size: int) -> tuple[int, ...]:
    """Return the numbers below ``size`` in the order of asking.

    They are sorted by SHA-256 of the root's 32 bytes, the number as 8 bytes (big-endian) and the nonce in UTF-8.

    Raises:
        InputError: the nonce is too short.
    """
    if len(nonce) < MIN_NONCE:
        raise InputError(f"the nonce has {len(nonce)} characters; expected at least {MIN_NONCE} random characters")
    tail = nonce.encode()

    def place(number: int) -> bytes:
        return hashlib.sha256(bytes.fromhex(root) + number.to_bytes(8, "big") + tail).digest()

    return tuple(sorted(range(size), key=place))
