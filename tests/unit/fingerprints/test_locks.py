import itertools
import subprocess
import sys

import pyrage
import pytest
from hypothesis import given
from hypothesis import strategies as st

from insignia import FingerprintSet, load_fingerprints
from insignia.errors import FormatError, InputError, WrongKeyError
from insignia.fingerprints.locks import (
    IDENTITY_VARIABLE,
    PASSPHRASE_VARIABLE,
    is_locked,
    lock,
    new_passphrase,
    read_unlocked,
    unlock,
)
from insignia.fingerprints.sets import load_pairs
from insignia.records import Fingerprint

OWNER, STRANGER = pyrage.x25519.Identity.generate(), pyrage.x25519.Identity.generate()
PRINTS = FingerprintSet(fingerprints=(Fingerprint(key="TOPSECRET", responses=("x",)),), secret="ab" * 32)
SECRET = b"TOPSECRET" * 20
LOCKED = lock(SECRET, recipients=[str(OWNER.to_public())])


@pytest.fixture(autouse=True)
def no_keys(monkeypatch):
    for name in (PASSPHRASE_VARIABLE, IDENTITY_VARIABLE):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def locked_set(tmp_path):
    PRINTS.save(tmp_path / "prints.json")
    path = tmp_path / "prints.age"
    path.write_bytes(lock((tmp_path / "prints.json").read_bytes(), recipients=[str(OWNER.to_public())]))
    return path


def identity_file(tmp_path, *identities):
    path = tmp_path / "identity"
    path.write_text("# created by age-keygen\n\n" + "".join(f"{identity}\n" for identity in identities))
    return str(path)


@given(st.binary(max_size=200))
def test_any_of_the_recipients_opens_what_was_locked(content):
    locked = lock(content, recipients=[str(STRANGER.to_public()), str(OWNER.to_public())])

    assert is_locked(locked)
    for identity in (OWNER, STRANGER):
        assert unlock(locked, "f", identities=[str(identity)]) == content


def test_another_identity_is_a_wrong_key():
    with pytest.raises(WrongKeyError, match="none of the identities"):
        unlock(LOCKED, "f", identities=[str(STRANGER)])


def test_a_changed_byte_after_the_wrapped_keys_is_damage_and_so_is_a_cut_anywhere():
    """From the header's authentication on; a change of a wrapped key itself cannot be told from another key."""
    for place in range(LOCKED.index(b"\n--- ") + 1, len(LOCKED)):
        with pytest.raises(FormatError, match="damaged"):
            unlock(LOCKED[:place] + bytes([LOCKED[place] ^ 1]) + LOCKED[place + 1 :], "f", identities=[str(OWNER)])
    for end in range(len(LOCKED)):
        with pytest.raises(FormatError, match="damaged"):
            unlock(LOCKED[:end], "f", identities=[str(OWNER)])


def test_a_changed_wrapped_key_opens_nothing():
    for place in range(LOCKED.index(b"\n--- ")):
        with pytest.raises((FormatError, WrongKeyError)):
            unlock(LOCKED[:place] + bytes([LOCKED[place] ^ 1]) + LOCKED[place + 1 :], "f", identities=[str(OWNER)])


def test_a_cut_header_is_damage_whatever_keys_are_at_hand(tmp_path):
    path = tmp_path / "f.age"
    path.write_bytes(LOCKED[:30])
    with pytest.raises(FormatError, match="damaged"):
        read_unlocked(path)


def test_a_set_is_read_locked_as_it_is_plain(locked_set, tmp_path, monkeypatch):
    monkeypatch.setenv(IDENTITY_VARIABLE, identity_file(tmp_path, STRANGER, OWNER))

    assert load_fingerprints(locked_set) == PRINTS
    assert load_pairs(locked_set) == [("TOPSECRET", "x")]


def test_the_ascii_form_is_read(tmp_path, monkeypatch):
    path = tmp_path / "f.age"
    path.write_bytes(pyrage.encrypt(SECRET, [OWNER.to_public()], armored=True))
    monkeypatch.setenv(IDENTITY_VARIABLE, identity_file(tmp_path, OWNER))

    assert read_unlocked(path) == SECRET


def test_without_a_key_at_hand_the_message_says_which_is_needed(locked_set, tmp_path):
    with pytest.raises(WrongKeyError, match=IDENTITY_VARIABLE):
        load_fingerprints(locked_set)
    by_passphrase = tmp_path / "p.age"
    by_passphrase.write_bytes(b"age-encryption.org/v1\n-> scrypt VhbbW9D/3gYpmEYwWmFRRQ 19\n\n--- ")
    with pytest.raises(WrongKeyError, match=PASSPHRASE_VARIABLE):
        load_fingerprints(by_passphrase)


def test_a_person_at_a_terminal_is_asked(tmp_path, monkeypatch):
    typed = iter(["five words", "five words", "one", "other"])
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("getpass.getpass", lambda prompt: next(typed))

    assert new_passphrase() == "five words"
    with pytest.raises(InputError, match="differ"):
        new_passphrase()


@pytest.mark.parametrize(
    "options", [{}, {"passphrase": ""}, {"passphrase": "x", "recipients": ["age1"]}, {"recipients": ["age1"]}]
)
def test_what_cannot_lock_is_refused(options):
    with pytest.raises(InputError, match="expected"):
        lock(SECRET, **options)


@pytest.mark.parametrize(("refusals", "told"), [(3, SECRET), (1000, "takes minutes to try")])
def test_a_busy_machine_that_takes_itself_for_slow_tries_again(monkeypatch, refusals, told):
    """age times the machine before it opens a passphrase, and one short time is easily disturbed."""
    answers = itertools.chain(["Excessive work parameter for passphrase.\nIt takes 16 s"] * refusals, [None])

    def decrypt(content, passphrase):
        if answer := next(answers):
            raise pyrage.DecryptError(answer)
        return SECRET

    monkeypatch.setattr(pyrage.passphrase, "decrypt", decrypt)
    if told is SECRET:
        assert unlock(LOCKED, "f", passphrase="x") == SECRET
    else:
        with pytest.raises(InputError, match=told):
            unlock(LOCKED, "f", passphrase="x")


def test_an_identity_that_is_none_is_not_quoted():
    with pytest.raises(InputError, match="AGE-SECRET-KEY-1") as caught:
        unlock(LOCKED, "f", identities=["TOPSECRET"])
    assert "TOPSECRET" not in f"{caught.value} {caught.value.__cause__}"


def test_a_plain_file_is_read_without_the_libraries_of_locked_ones(tmp_path):
    PRINTS.save(tmp_path / "prints.json")
    code = (
        "import sys; from insignia import load_fingerprints; import insignia.cli.main; "
        f"load_fingerprints({str(tmp_path / 'prints.json')!r}); print({{'pyrage', 'cryptography'}} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=600)
    assert done.stdout == "set()\n"
