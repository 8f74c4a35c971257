import hashlib
import json

import pytest

from insignia.errors import FormatError, InputError
from insignia.evidence.commitment import open_fingerprints
from insignia.evidence.publication import SignedCommitment, owner_rng, publish, weight_digests
from insignia.fingerprints.sets import FingerprintSet
from insignia.records import Fingerprint

PRINTS = FingerprintSet(
    fingerprints=tuple(Fingerprint(key=f"TOPSECRET {i}", responses=("TOPSECRET",)) for i in range(5)), secret="ab" * 32
)
WEIGHTS = {"model.safetensors": "sha256:" + "00" * 32}


@pytest.fixture
def path(tmp_path):
    publish(PRINTS, WEIGHTS).save(tmp_path / "commitment.json")
    return tmp_path / "commitment.json"


def test_what_is_published_holds_the_set_and_tells_nothing(path):
    published = SignedCommitment.load(path)
    openings = open_fingerprints(PRINTS, owner_rng(PRINTS), range(5))

    assert all(published.commitment.holds(opening) for opening in openings)
    assert published.weights == WEIGHTS
    assert "TOPSECRET" not in path.read_text()
    assert "ab" * 8 not in path.read_text()


def test_a_changed_commitment_is_refused_in_any_field(path):
    whole = json.loads(path.read_text())
    other = publish(PRINTS.model_copy(update={"secret": "cd" * 32}), WEIGHTS).plain()
    changes = [
        {"created": "2020-01-01T00:00:00+00:00"},
        {"weights": {"model.safetensors": "sha256:" + "11" * 32}},
        {"commitment": other["commitment"]},
        {"public_key": other["public_key"]},
        {"signature": other["signature"]},
        {"schema_version": 2},
        {"more": 1},
    ]
    for change in changes:
        path.write_text(json.dumps(whole | change))
        with pytest.raises(FormatError, match=r"commitment\.json"):
            SignedCommitment.load(path)


@pytest.mark.parametrize(("secret", "message"), [(None, "no secret"), ("TOPSECRET", "not hexadecimal")])
def test_a_set_without_a_secret_cannot_be_committed_to(secret, message):
    with pytest.raises(InputError, match=message):
        publish(PRINTS.model_copy(update={"secret": secret}), WEIGHTS)


def test_weights_are_known_by_the_digest_of_each_file(tmp_path):
    with pytest.raises(InputError, match="no safetensors"):
        weight_digests(tmp_path)
    for name in ("b.safetensors", "a.safetensors", "config.json"):
        (tmp_path / name).write_text(name)

    assert weight_digests(tmp_path) == {
        name: f"sha256:{hashlib.sha256(name.encode()).hexdigest()}" for name in ("a.safetensors", "b.safetensors")
    }
