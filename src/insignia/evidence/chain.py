"""Responses that nobody chose: a hash over all keys and all their candidates picks each one.

Chain & Hash (Russinovich & Salem, arXiv:2407.10887) takes ``SHA-256(key || all keys || all responses) mod 256``. Whoever
wants another response has to change a key, which changes every response: there is nothing to be tuned, only sets to be
tried, at a price that can be counted. To check one response there, all keys have to be shown, and are spent.

Here the hash is over the root of a Merkle tree with a leaf for each key, so that one key can be shown without the others.
A leaf is a salt of 32 bytes and the canonical form of key, candidates, number and size; the response of key i is the
candidate of number

    HMAC-SHA256(salt_i, "insignia chain 1" || root || leaf_i)  mod  k.

The salt hides the key in the leaf, and the response from one who learned the key; being in the leaf, it is as bound as the
key is. A secret of the whole set in its place would have to be shown with the first key.
"""

import hmac
from collections.abc import Sequence
from typing import NamedTuple

from insignia.evidence.merkle import inclusion_path, leaf_hash, root_from_path, tree_root
from insignia.files import canonical
from insignia.randomness import KeyedRandom
from insignia.records import Candidate, Fingerprint

__all__ = ["Chain", "Link", "picked", "salt_of"]

_TAG = b"insignia chain 1"


class Link(NamedTuple):
    """What is fixed of a fingerprint before any response is known."""

    key: str
    """As it is asked."""
    candidates: tuple[Candidate, ...]

    @classmethod
    def of(cls, fingerprint: Fingerprint) -> "Link":
        """The link that a finished fingerprint was made from."""
        return cls(fingerprint.effective_key or fingerprint.key, fingerprint.candidates or ())

    def leaf(self, number: int, size: int, salt: bytes) -> bytes:
        """The digest of the link in a chain of that size."""
        candidates = [candidate.model_dump(mode="json", exclude_none=True) for candidate in self.candidates]
        return leaf_hash(salt + canonical({"candidates": candidates, "key": self.key, "number": number, "size": size}))


class Chain:
    """All links of a set, in order; the salts come from the set's secret. Takes O(n)."""

    def __init__(self, links: Sequence[Link], secret: KeyedRandom) -> None:
        self._links = links
        self._salts = [salt_of(secret, number) for number in range(len(links))]
        self._leaves = [link.leaf(i, len(links), salt) for i, (link, salt) in enumerate(zip(links, self._salts, strict=True))]
        self._root = tree_root(self._leaves)

    @property
    def root(self) -> str:
        """64 hexadecimal digits; they fix every response."""
        return self._root.hex()

    def pick(self, number: int) -> Candidate:
        """The response of that key."""
        return _pick(self._links[number], self._leaves[number], self._salts[number], self._root)

    def path(self, number: int) -> tuple[str, ...]:
        """The digests from that key's leaf up. Takes O(n)."""
        return tuple(digest.hex() for digest in inclusion_path(self._leaves, number))


def picked(link: Link, number: int, size: int, *, salt: bytes, path: Sequence[bytes], root: bytes) -> Candidate | None:
    """The response that the chain with this root gives the link; None where the link is not in it. Takes O(log n)."""
    leaf = link.leaf(number, size, salt)
    if not link.candidates or root_from_path(leaf, number, size, path) != root:
        return None
    return _pick(link, leaf, salt, root)


def salt_of(secret: KeyedRandom, number: int) -> bytes:
    """The 32 bytes that a fingerprint stands behind, here and in the commitment; shown when it is."""
    return secret.derive("salt of a committed fingerprint", number).secret


def _pick(link: Link, leaf: bytes, salt: bytes, root: bytes) -> Candidate:
    draw = int.from_bytes(hmac.digest(salt, _TAG + root + leaf, "sha256"))
    return link.candidates[draw % len(link.candidates)]
