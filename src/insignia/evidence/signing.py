"""Records that carry a signature of all they say: Ed25519 (RFC 8032) over one canonical spelling of their JSON.

The signing key is derived from the set's own secret. A second secret would be one more thing to lose, and would protect
nothing: who has the set can answer for the mark in every other way. One set, one key: signatures of the same owner's
other sets cannot be linked to it.
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
    """A record with the signature of its other fields; it is made by ``sign``."""

    public_key: Digest
    """Ed25519: who published this key before a dispute is who signed."""
    signature: Annotated[str, Field(pattern="^[0-9a-f]{128}$")]

    @classmethod
    def sign(cls, rng: KeyedRandom, **fields: Any) -> Self:
        """The record with these other fields, signed with the key of the set that ``rng`` is the secret of."""
        key = Ed25519PrivateKey.from_private_bytes(rng.derive("signing key").secret)
        blank = cls(public_key=key.public_key().public_bytes_raw().hex(), signature="0" * 128, **fields)
        return blank.model_copy(update={"signature": key.sign(blank._message()).hex()})

    def plain(self) -> dict[str, Any]:
        """The record as plain data, fields without a value left out: what is saved, and but for the signature signed."""
        return self.model_dump(mode="json", exclude_none=True)

    def is_genuine(self) -> bool:
        """Whether the holder of ``public_key`` signed all the other fields as they are."""
        try:
            key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(self.public_key))
            key.verify(bytes.fromhex(self.signature), self._message())
        except (InvalidSignature, ValueError):  # ValueError: no point of the curve
            return False
        return True

    def _message(self) -> bytes:
        return canonical({name: value for name, value in self.plain().items() if name != "signature"})
