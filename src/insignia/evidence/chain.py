"""Chains: a hash over all keys and candidates picks every response, so that nobody can choose one.

Chain & Hash (Russinovich & Salem, arXiv:2407.10887) takes ``SHA-256(key || all keys || all responses) mod 256``. Another
response needs another key, which changes every response, so one can only try whole sets, at a known cost. But checking one
response there shows all keys, which are then spent.

Here the hash is over the root of a Merkle tree with a leaf for each key, so one key can be shown without the others. A leaf
has a 32-byte salt and the canonical form of key, candidates, number and size. The response of key i is candidate number

    HMAC-SHA256(salt_i, "insignia chain 1" || root || leaf_i)  mod  k.

The salt hides the key in the leaf, and hides the response from those who know the key. It is part of the leaf, so it cannot
be changed. A secret of the whole set instead of salts would have to be shown with the first key.
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
    """The part of a fingerprint that is fixed before the response is picked."""

    key: str
    """The text that is asked."""
    candidates: tuple[Candidate, ...]

    @classmethod
    def of(cls, fingerprint: Fingerprint) -> "Link":
        """Return the link of a finished fingerprint."""
        return cls(fingerprint.asked_key, fingerprint.candidates or ())

    def leaf(self, number: int, size: int, salt: bytes) -> bytes:
        """Return the digest of the link in a chain of this size."""
        candidates = [candidate.model_dump(mode="json", exclude_none=True) for candidate in self.candidates]
        return leaf_hash(salt + canonical({"candidates": candidates, "key": self.key, "number": number, "size": size}))


class Chain:
    """The chain of a set's links, in order. The salts come from the set's secret. Takes O(n)."""

    def __init__(self, links: Sequence[Link], secret: KeyedRandom) -> None:
        self._links = links
        self._salts = [salt_of(secret, number) for number in range(len(links))]
        self._leaves = [link.leaf(i, len(links), salt) for i, (link, salt) in enumerate(zip(links, self._salts, strict=True))]
        self._root = tree_root(self._leaves)

    @property
    def root(self) -> str:
        """Root of the tree as 64 hexadecimal digits. It determines every response."""
        return self._root.hex()

    def pick(self, number: int) -> Candidate:
        """Return the response of a link."""
        return _pick(self._links[number], self._leaves[number], self._salts[number], self._root)

    def path(self, number: int) -> tuple[str, ...]:
        """Return the inclusion path of a link, from its leaf up. Takes O(n)."""
        return tuple(digest.hex() for digest in inclusion_path(self._leaves, number))


def picked(link: Link, number: int, size: int, *, salt: bytes, path: Sequence[bytes], root: bytes) -> Candidate | None:
    """Return the response that the chain with this root picks for a link, or None if it is not in it. Takes O(log n)."""
    leaf = link.leaf(number, size, salt)
    if not link.candidates or root_from_path(leaf, number, size, path) != root:
        return None
    return _pick(link, leaf, salt, root)


def salt_of(secret: KeyedRandom, number: int) -> bytes:
    """Return the 32-byte salt of a fingerprint in chain and commitment. It is shown with the fingerprint."""
    return secret.derive("salt of a committed fingerprint", number).secret


def _pick(link: Link, leaf: bytes, salt: bytes, root: bytes) -> Candidate:
    draw = int.from_bytes(hmac.digest(salt, _TAG + root + leaf, "sha256"))
    return link.candidates[draw % len(link.candidates)]
