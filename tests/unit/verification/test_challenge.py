import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insignia.errors import InputError
from insignia.verification.challenge import challenge_order

ROOT, NONCE = "ab" * 32, "sixteen letters!"


@given(st.integers(0, 300))
def test_every_key_comes_once(size):
    assert sorted(challenge_order(ROOT, NONCE, size)) == list(range(size))


def test_root_and_nonce_decide():
    orders = {challenge_order(root, nonce, 20) for root in (ROOT, "cd" * 32) for nonce in (NONCE, NONCE + "x")}
    assert len(orders) == 4
    assert challenge_order(ROOT, NONCE, 20) in orders


def test_the_order_is_that_of_the_documented_digests():
    digests = [hashlib.sha256(bytes([0xAB] * 32) + bytes(7) + bytes([i]) + NONCE.encode()).hexdigest() for i in range(9)]
    assert challenge_order(ROOT, NONCE, 9) == tuple(sorted(range(9), key=digests.__getitem__))


def test_a_nonce_that_can_be_guessed_is_refused():
    with pytest.raises(InputError, match="at least 16"):
        challenge_order(ROOT, "short", 9)
