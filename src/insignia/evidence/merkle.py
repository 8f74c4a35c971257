"""Merkle trees as in RFC 6962, section 2.1 (and RFC 9162).

Leaves and inner nodes are hashed with different prefixes, so neither can pass for the other. Nothing is padded: the left
subtree of n leaves has the largest power of two below n.
"""

import hashlib
from collections.abc import Sequence

from insignia.errors import InputError

__all__ = ["DIGEST_BYTES", "inclusion_path", "leaf_hash", "root_from_path", "tree_root"]

DIGEST_BYTES = 32


def leaf_hash(data: bytes) -> bytes:
    """Return the digest of a leaf: SHA-256(0x00 || data)."""
    return hashlib.sha256(b"\x00" + data).digest()


def tree_root(leaves: Sequence[bytes]) -> bytes:
    """Return the root over leaf digests; without leaves, SHA-256 of nothing. Takes O(n)."""
    if not leaves:
        return hashlib.sha256().digest()
    if len(leaves) == 1:
        return leaves[0]
    split = _split(len(leaves))
    return _node_hash(tree_root(leaves[:split]), tree_root(leaves[split:]))


def inclusion_path(leaves: Sequence[bytes], number: int) -> tuple[bytes, ...]:
    """Return PATH(number, leaves) of RFC 6962, section 2.1.1, from the leaf up. Takes O(n).

    Raises:
        InputError: the leaf does not exist.
    """
    if not 0 <= number < len(leaves):
        raise InputError(f"there is no leaf {number} in a tree of {len(leaves)}; expected 0 to {len(leaves) - 1}")
    if len(leaves) == 1:
        return ()
    split = _split(len(leaves))
    if number < split:
        return (*inclusion_path(leaves[:split], number), tree_root(leaves[split:]))
    return (*inclusion_path(leaves[split:], number - split), tree_root(leaves[:split]))


def root_from_path(leaf: bytes, number: int, size: int, path: Sequence[bytes]) -> bytes | None:
    """Return the root that a path leads to from a leaf digest in a tree of ``size`` leaves, or None if it is malformed.

    A leaf is proven if this is the committed root and ``size`` is the committed size, which the path does not fix. Takes
    O(log n) and never raises. The result is that of RFC 9162, section 2.1.3.2.
    """
    if not 0 <= number < size < 2**64 or any(len(digest) != DIGEST_BYTES for digest in (leaf, *path)):
        return None
    if size == 1 or not path:
        return leaf if size == 1 and not path else None
    *below, beside = path
    split = _split(size)
    if number < split:
        left = root_from_path(leaf, number, split, below)
        return left and _node_hash(left, beside)
    right = root_from_path(leaf, number - split, size - split, below)
    return right and _node_hash(beside, right)


def _split(size: int) -> int:
    """Return the largest power of two below ``size``: the number of leaves on the left."""
    return 1 << (size - 1).bit_length() - 1


def _node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()
