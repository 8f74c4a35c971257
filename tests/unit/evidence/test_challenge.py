import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drawn_prints import drawn, knowing
from insignia.errors import InputError
from insignia.evidence.bundle import audit, disclose
from insignia.evidence.challenge import challenge_order
from insignia.evidence.publication import publish
from insignia.suspects.scripted import ScriptedModel
from insignia.verification.protocol import verify

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


def test_verify_asks_in_the_order_of_a_challenge_and_its_bundle_passes(tmp_path):
    prints = drawn()
    published = publish(prints, {"model.safetensors": "sha256:" + "00" * 32})
    order = challenge_order(published.commitment.root, NONCE, len(prints))
    file = tmp_path / "t.jsonl"
    verdict = verify(prints, ScriptedModel(knowing(prints)), order=order, transcript=file)

    assert (verdict.outcome, verdict.keys_spent) == ("owned", order[:6])
    assert audit(disclose(prints, published, file, nonce=NONCE).content(), nonce=NONCE).verdict == verdict
