"""A Merkle tree as RFC 6962, section 2.1 defines it (the same as RFC 9162's): one digest stands for a list of leaves.

Leaves and inner nodes are hashed with different first bytes, so that neither can pass for the other. Nothing is padded
or repeated: a tree of n leaves is one of the largest power of two below n beside one of the rest.
"""

import hashlib
from collections.abc import Sequence

from insignia.errors import InputError

__all__ = ["DIGEST_BYTES", "inclusion_path", "leaf_hash", "root_from_path", "tree_root"]

DIGEST_BYTES = 32


def leaf_hash(data: bytes) -> bytes:
    """The digest of a leaf: SHA-256(0x00 || data)."""
    return hashlib.sha256(b"\x00" + data).digest()


def tree_root(leaves: Sequence[bytes]) -> bytes:
    """The digest of the tree over these leaf digests; of no leaves, SHA-256 of nothing. Takes O(n)."""
    if not leaves:
        return hashlib.sha256().digest()
    if len(leaves) == 1:
        return leaves[0]
    split = _split(len(leaves))
    return _node_hash(tree_root(leaves[:split]), tree_root(leaves[split:]))


def inclusion_path(leaves: Sequence[bytes], number: int) -> tuple[bytes, ...]:
    """PATH(number, leaves) of RFC 6962, section 2.1.1: the digests beside the way from the leaf up to the root. Takes O(n).

    Raises:
        InputError: there is no such leaf.
    """
    if not 0 <= number < len(leaves):
        raise InputError(f"leaf {number} of a tree of {len(leaves)}; expected a number from 0, below the size of the tree")
    if len(leaves) == 1:
        return ()
    split = _split(len(leaves))
    if number < split:
        return (*inclusion_path(leaves[:split], number), tree_root(leaves[split:]))
    return (*inclusion_path(leaves[split:], number - split), tree_root(leaves[:split]))


def root_from_path(leaf: bytes, number: int, size: int, path: Sequence[bytes]) -> bytes | None:
    """The root that the path leads to from that leaf digest in a tree of ``size`` leaves; None if it is no such path.

    A leaf is proven when this is the committed root and ``size`` the committed size: a path alone does not fix the size.
    Takes O(log n) and raises nothing, whatever a stranger sent. The result is that of RFC 9162, section 2.1.3.2.
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
    """The largest power of two below ``size``: how many leaves stand on the left."""
    return 1 << (size - 1).bit_length() - 1


def _node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()
