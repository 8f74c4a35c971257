import hashlib
import hmac
import json
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drawn_prints import chained, drawn
from insignia.evidence.chain import Chain, Link, picked, salt_of
from insignia.randomness import KeyedRandom

PRINTS = chained(11)
SECRET = KeyedRandom(bytes.fromhex(PRINTS.secret))
LINKS = [Link.of(fingerprint) for fingerprint in PRINTS]
CHAIN = Chain(LINKS, SECRET)
MANY = [Link.of(fingerprint) for fingerprint in drawn(200)]
MANY_CHAIN = Chain(MANY, SECRET)


def opened(number, *, link=None, size=11, salt=None, root=None):
    path = [bytes.fromhex(digest) for digest in CHAIN.path(number)]
    root = bytes.fromhex(root or CHAIN.root)
    return picked(link or LINKS[number], number, size, salt=salt or salt_of(SECRET, number), path=path, root=root)


def test_a_shown_key_alone_tells_its_response():
    for number, fingerprint in enumerate(PRINTS):
        assert opened(number) == CHAIN.pick(number)
        assert fingerprint.responses == (CHAIN.pick(number).text,)


def test_the_response_is_that_of_the_formula():
    """Written from docs/reference/formats.md alone."""
    salt, candidates = salt_of(SECRET, 3), [c.model_dump(exclude_none=True) for c in LINKS[3].candidates]
    content = {"candidates": candidates, "key": LINKS[3].key, "number": 3, "size": 11}
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
    leaf = hashlib.sha256(b"\0" + salt + canonical).digest()
    draw = hmac.new(salt, b"insignia chain 1" + bytes.fromhex(CHAIN.root) + leaf, "sha256").hexdigest()

    assert LINKS[3].candidates[int(draw, 16) % 16] == CHAIN.pick(3)


def test_a_chain_is_the_same_for_ever():
    assert CHAIN.root == GOLDEN


GOLDEN = "d799074de422ebe703433fb0e2b63ec50bcb62a4a50f57ec556e78184c0ba28b"


@settings(max_examples=20)
@given(st.integers(0, 199))
def test_to_change_one_key_draws_every_response_anew(changed):
    links = [link._replace(key=link.key + "!") if place == changed else link for place, link in enumerate(MANY)]
    other = Chain(links, SECRET)
    kept = sum(other.pick(number) == MANY_CHAIN.pick(number) for number in range(200))

    assert other.root != MANY_CHAIN.root
    assert 1 <= kept <= 32  # of 200 at 1/16; beyond lie three in 100,000


def test_a_changed_key_list_salt_number_or_size_is_not_in_the_chain():
    assert opened(3, link=LINKS[4]) is None
    assert opened(3, link=LINKS[3]._replace(candidates=LINKS[3].candidates[::-1])) is None
    assert opened(3, link=LINKS[3]._replace(candidates=())) is None
    assert opened(3, salt=bytes(32)) is None
    assert opened(3, size=10) is None


def test_every_candidate_is_picked_equally_often():
    picks = Counter(fingerprint.responses[0] for fingerprint in chained(800, k=8))
    chi_squared = sum((count - 100) ** 2 / 100 for count in picks.values())

    assert len(picks) == 8
    assert chi_squared < 24.3  # 0.999 quantile, 7 degrees of freedom


def test_the_salt_hides_the_response_from_one_who_knows_all_keys():
    others = [chained(11, secret=bytes([byte]) * 32) for byte in range(8)]

    assert len({prints.fingerprints[0].key for prints in others}) == 1
    assert len({prints.fingerprints[0].responses for prints in others}) > 1


@pytest.mark.parametrize("part", [PRINTS.first(10), drawn()], ids=["a part", "drawn"])
def test_what_is_not_a_whole_chained_set_has_no_chain(part):
    assert part.chain is None
