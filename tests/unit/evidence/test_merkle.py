import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insignia.errors import InputError
from insignia.evidence.merkle import inclusion_path, leaf_hash, root_from_path, tree_root

# The vectors of the authors of RFC 6962 (certificate-transparency, merkle_tree_test.cc).
CONTENTS = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
LEAVES = [leaf_hash(bytes.fromhex(content)) for content in CONTENTS]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
PATHS = {  # (number, size): path
    (0, 1): [],
    (0, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (5, 8): [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        ROOTS[3],
    ],
    (2, 3): [ROOTS[1]],
    (1, 5): [
        ROOTS[0],
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}

SIZES = st.integers(1, 70)


def leaves_of(size):
    return [leaf_hash(str(number).encode()) for number in range(size)]


def rfc_9162_root(leaf, number, size, path):
    """Section 2.1.3.2, word by word, up to the comparison; None where it fails before."""
    if number >= size:
        return None
    fn, sn, r = number, size - 1, leaf
    for p in path:
        if sn == 0:
            return None
        if fn & 1 or fn == sn:
            r = hashlib.sha256(b"\x01" + p + r).digest()
            if not fn & 1:
                while not (fn & 1 or fn == 0):
                    fn, sn = fn >> 1, sn >> 1
        else:
            r = hashlib.sha256(b"\x01" + r + p).digest()
        fn, sn = fn >> 1, sn >> 1
    return r if sn == 0 else None


def test_roots_are_those_of_the_rfc():
    assert tree_root([]).hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert [tree_root(LEAVES[:size]).hex() for size in range(1, 9)] == ROOTS


@pytest.mark.parametrize(("place", "path"), PATHS.items())
def test_paths_are_those_of_the_rfc(place, path):
    number, size = place

    assert [digest.hex() for digest in inclusion_path(LEAVES[:size], number)] == path
    assert root_from_path(LEAVES[number], number, size, [bytes.fromhex(digest) for digest in path]).hex() == ROOTS[size - 1]


@given(SIZES, st.data())
def test_every_leaf_has_a_path_to_the_root(size, data):
    leaves = leaves_of(size)
    number = data.draw(st.integers(0, size - 1))
    path = inclusion_path(leaves, number)

    assert root_from_path(leaves[number], number, size, path) == tree_root(leaves)
    assert rfc_9162_root(leaves[number], number, size, path) == tree_root(leaves)


@given(SIZES, st.data())
def test_a_changed_leaf_path_or_number_leads_elsewhere(size, data):
    leaves = leaves_of(size)
    number = data.draw(st.integers(0, size - 1))
    path = list(inclusion_path(leaves, number))
    place, bit = data.draw(st.integers(0, len(path))), data.draw(st.integers(0, 255))
    chain = [leaves[number], *path]
    chain[place] = (int.from_bytes(chain[place], "big") ^ 1 << bit).to_bytes(32, "big")
    root = tree_root(leaves)

    assert root_from_path(chain[0], number, size, chain[1:]) != root
    for other in range(-1, size + 2):
        assert other == number or root_from_path(leaves[number], other, size, path) != root
    assert root_from_path(leaves[number], number, size, [*path, root]) is None
    for lost in range(len(path)):
        assert root_from_path(leaves[number], number, size, path[:lost] + path[lost + 1 :]) is None
    if len(path) > 1:
        assert root_from_path(leaves[number], number, size, path[::-1]) != root


@given(st.integers(1, 40), st.data(), st.sampled_from([0, 0, -1, 1]), st.randoms())
def test_any_path_is_judged_as_rfc_9162_judges_it(size, data, longer, rng):
    number = data.draw(st.integers(0, size))
    right = len(inclusion_path(leaves_of(size), min(number, size - 1)))
    leaf, *path = (rng.randbytes(32) for _ in range(1 + max(0, right + longer)))
    root = root_from_path(leaf, number, size, path)

    assert root == rfc_9162_root(leaf, number, size, path)
    assert (root is None) == (number == size or len(path) != right)


def test_an_inner_node_passes_for_a_leaf_only_in_a_tree_of_another_size():
    inner = hashlib.sha256(b"\x01" + LEAVES[0] + LEAVES[1]).digest()

    assert root_from_path(inner, 0, 4, PATHS_AS_BYTES[1:]).hex() == ROOTS[7]
    assert root_from_path(inner, 0, 8, PATHS_AS_BYTES[1:]) is None


PATHS_AS_BYTES = [bytes.fromhex(digest) for digest in PATHS[0, 8]]


@pytest.mark.parametrize(("number", "size"), [(-1, 8), (8, 8), (0, 0), (0, 2**64), (0, 10**4000)])
def test_what_no_tree_holds_has_no_root(number, size):
    assert root_from_path(LEAVES[0], number, size, PATHS_AS_BYTES) is None
    assert root_from_path(LEAVES[0], number, size, PATHS_AS_BYTES * 2000) is None


def test_digests_of_another_length_are_refused():
    assert root_from_path(LEAVES[0][:31], 0, 8, PATHS_AS_BYTES) is None
    assert root_from_path(LEAVES[0], 0, 8, [*PATHS_AS_BYTES[:2], PATHS_AS_BYTES[2] + b"\x00"]) is None


def test_a_leaf_that_is_not_there_has_no_path():
    with pytest.raises(InputError, match="expected 0 to"):
        inclusion_path(LEAVES, 8)
