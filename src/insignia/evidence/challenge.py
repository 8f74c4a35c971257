"""Which keys a judge wants asked: an order that neither the owner nor the suspect can choose or foresee.

It follows from the published root, fixed before the judge's nonce, and the nonce, fixed after it. So the owner cannot ask
only keys that are known to work, nor make up a set to fit the suspect's replies.
"""

import hashlib

from insignia.errors import InputError

__all__ = ["MIN_NONCE", "challenge_order"]

MIN_NONCE = 16
"""Characters of a nonce: 64 bits and more, so that an owner cannot have prepared for it."""


def challenge_order(root: str, nonce: str, size: int) -> tuple[int, ...]:
    """The numbers below ``size`` in the order in which their keys are to be asked; a test stops where it likes.

    Sorted by SHA-256 of the root's 32 bytes, the number as 8 bytes (big end first) and the nonce in UTF-8.

    Raises:
        InputError: the nonce is too short.
    """
    if len(nonce) < MIN_NONCE:
        raise InputError(f"the nonce has {len(nonce)} characters; expected at least {MIN_NONCE} random ones of the judge's")
    tail = nonce.encode()

    def place(number: int) -> bytes:
        return hashlib.sha256(bytes.fromhex(root) + number.to_bytes(8, "big") + tail).digest()

    return tuple(sorted(range(size), key=place))
