"""Files that a passphrase opens, in a form that is quick to try; test_cli_secrets.py locks one as users do, for seconds."""

import traceback

import pyrage
import pytest

from age_files import locked
from drawn_prints import drawn
from insignia import load_fingerprints
from insignia.errors import FormatError, WrongKeyError
from insignia.fingerprints.locks import IDENTITY_VARIABLE, PASSPHRASE_VARIABLE, lock, read_unlocked

SECRET = b"TOPSECRET" * 20


@pytest.fixture(autouse=True)
def no_keys(monkeypatch):
    for name in (PASSPHRASE_VARIABLE, IDENTITY_VARIABLE):
        monkeypatch.delenv(name, raising=False)


def test_a_wrong_passphrase_is_told_from_damage(tmp_path, monkeypatch):
    path = tmp_path / "f.age"
    path.write_bytes(locked(SECRET, "five random words"))

    monkeypatch.setenv(PASSPHRASE_VARIABLE, "five random words")
    assert read_unlocked(path) == SECRET
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.raises(FormatError, match="damaged"):
        read_unlocked(path)
    path.write_bytes(whole)
    monkeypatch.setenv(PASSPHRASE_VARIABLE, "TOPSECRET")
    with pytest.raises(WrongKeyError, match="passphrase is wrong") as caught:
        read_unlocked(path)
    assert "TOPSECRET" not in "".join(traceback.format_exception(caught.value))


def test_the_identity_may_be_locked_by_a_passphrase(tmp_path, monkeypatch):
    owner, prints = pyrage.x25519.Identity.generate(), drawn(4)
    prints.save(tmp_path / "prints.json")
    to_the_owner = lock((tmp_path / "prints.json").read_bytes(), recipients=[str(owner.to_public())])
    (tmp_path / "prints.age").write_bytes(to_the_owner)
    identity = tmp_path / "identity.age"
    identity.write_bytes(locked(str(owner).encode(), "five random words"))
    monkeypatch.setenv(IDENTITY_VARIABLE, str(identity))
    monkeypatch.setenv(PASSPHRASE_VARIABLE, "five random words")

    assert load_fingerprints(tmp_path / "prints.age") == prints
