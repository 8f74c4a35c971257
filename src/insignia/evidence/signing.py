"""Signed records: Ed25519 (RFC 8032) over the record's canonical JSON.

The signing key is derived from the set's secret. A second secret could be lost and would protect nothing, since the set
itself proves ownership. Each set has its own key, so an owner's sets cannot be linked.
"""

from typing import Annotated, Any, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import Field

from insignia.files import canonical
from insignia.randomness import KeyedRandom
from insignia.records import Digest, Record

__all__ = ["Signed"]


class Signed(Record):
    """A record with a signature of its other fields. Make it with ``sign``."""

    public_key: Digest
    """Ed25519 public key of the set. Publish it before a dispute."""
    signature: Annotated[str, Field(pattern="^[0-9a-f]{128}$")]
    """Ed25519 signature of all other fields."""

    @classmethod
    def sign(cls, rng: KeyedRandom, **fields: Any) -> Self:
        """Return the record with these fields, signed with the key derived from the set's ``rng``."""
        key = Ed25519PrivateKey.from_private_bytes(rng.derive("signing key").secret)
        blank = cls(public_key=key.public_key().public_bytes_raw().hex(), signature="0" * 128, **fields)
        return blank.model_copy(update={"signature": key.sign(blank._message()).hex()})

    def plain(self) -> dict[str, Any]:
        """Return the record as plain data, without None fields. This is saved and, without the signature, signed."""
        return self.model_dump(mode="json", exclude_none=True)

    def is_genuine(self) -> bool:
        """Whether the signature is valid."""
        try:
            key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(self.public_key))
            key.verify(bytes.fromhex(self.signature), self._message())
        except (InvalidSignature, ValueError):  # ValueError: the key is not on the curve
            return False
        return True

    def _message(self) -> bytes:
        return canonical({name: value for name, value in self.plain().items() if name != "signature"})
