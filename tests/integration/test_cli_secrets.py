"""Locked sets and their ledger from the command line: every command reads them, and none tells what is in them."""

import json
import sys

import pyrage
import pytest

from insignia.cli.main import main

PAIRS = [{"key": f"{i} TOPSECRET keys", "response": f" TOPSECRET{i}"} for i in range(44)]
OWNER = pyrage.x25519.Identity.generate()


@pytest.fixture
def insignia(monkeypatch, capsys, tmp_path):
    """Run the command in an empty folder, which holds pairs and an identity; returns (status, standard output and error)."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pairs.json").write_text(json.dumps(PAIRS))
    (tmp_path / "identity").write_text(f"{OWNER}\n")
    monkeypatch.setenv("INSIGNIA_IDENTITY", "identity")
    monkeypatch.delenv("INSIGNIA_PASSPHRASE", raising=False)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["insignia", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            main()
        captured = capsys.readouterr()
        assert "TOPSECRET" not in captured.out + captured.err
        return caught.value.code or 0, captured.out, captured.err

    return run


def test_every_command_reads_a_locked_set_and_unlock_gives_it_back(insignia, tmp_path):
    status, out, _ = insignia("lock", "pairs.json", "-o", "pairs.age", "--recipient", OWNER.to_public(), "--json")
    assert (status, json.loads(out)) == (0, {"out": "pairs.age", "num_fingerprints": 44, "recipients": 1})
    assert b"TOPSECRET" not in (tmp_path / "pairs.age").read_bytes()
    assert (tmp_path / "pairs.age").stat().st_mode & 0o777 == 0o600

    assert insignia("export", "pairs.age", "-o", "oml.json")[0] == 0
    assert json.loads((tmp_path / "oml.json").read_text()) == PAIRS
    assert insignia("generate", "own.json", "--keys-file", "pairs.age", "-q")[0] == 0
    assert insignia("check", "pairs.age", "--model", "starter", "--num-fingerprints", 1)[0] == 3
    assert insignia("unlock", "pairs.age", "-o", "plain.json")[0] == 0
    assert (tmp_path / "plain.json").read_bytes() == (tmp_path / "pairs.json").read_bytes()
    assert (tmp_path / "plain.json").stat().st_mode & 0o777 == 0o600


def test_a_passphrase_from_the_environment_locks_and_opens(insignia, tmp_path, monkeypatch):
    monkeypatch.setenv("INSIGNIA_PASSPHRASE", "five random words")
    assert insignia("lock", "pairs.json", "-o", "pairs.age")[0] == 0
    assert insignia("unlock", "pairs.age", "-o", "plain.json")[0] == 0
    assert json.loads((tmp_path / "plain.json").read_text()) == PAIRS


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lock", "pairs.json", "-o", "new"], "INSIGNIA_PASSPHRASE"),
        (["lock", "pairs.json", "-o", "new", "--recipient", "age1"], "recipient"),
        (["lock", "cut.json", "-o", "new", "--recipient", str(OWNER.to_public())], "cut short"),
        (["lock", "pairs.age", "-o", "new", "--recipient", str(OWNER.to_public())], "locked already"),
        (["lock", "pairs.json", "-o", "pairs.json", "--recipient", str(OWNER.to_public())], "--force"),
        (["unlock", "pairs.json", "-o", "new"], "not locked"),
        (["unlock", "stranger.age", "-o", "new"], "none of the identities"),
        (["unlock", "damaged.age", "-o", "new"], "damaged"),
        (["share", "pairs.json", "--count", 45, "--to", "bob", "-o", "new"], "unspent: 44"),
        (["share", "pairs.json", "--count", 1, "--to", "", "-o", "new"], "a name"),
        (["share", "pairs.json", "--count", 1, "--to", "bob", "-o", "pairs.json", "--force"], "another output"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_and_nothing_is_written(insignia, tmp_path, arguments, message):
    insignia("lock", "pairs.json", "-o", "pairs.age", "--recipient", OWNER.to_public())
    whole = (tmp_path / "pairs.age").read_bytes()
    (tmp_path / "damaged.age").write_bytes(whole[:-1])
    stranger = pyrage.x25519.Identity.generate().to_public()
    insignia("lock", "pairs.json", "-o", "stranger.age", "--recipient", stranger)
    (tmp_path / "cut.json").write_text(json.dumps(PAIRS)[:-9])
    status, out, err = insignia(*arguments)

    assert (status, out, err.count("\n")) == (1, "", 1)
    assert message in err
    assert not (tmp_path / "new").exists()


def test_a_share_is_recorded_and_the_last_keys_are_warned_of(insignia, tmp_path):
    status, out, err = insignia("share", "pairs.json", "--count", 4, "--to", "bob", "-o", "for-bob.json", "--json")
    assert (status, err) == (0, "")
    assert json.loads(out) == {"out": "for-bob.json", "num_fingerprints": 4, "to": "bob", "unspent": 40}
    assert (tmp_path / "for-bob.json").stat().st_mode & 0o777 == 0o600

    insignia("lock", "pairs.json", "-o", "pairs.age", "--recipient", OWNER.to_public())
    status, out, err = insignia("share", "pairs.age", "--count", 4, "--to", "carol", "-o", "for-carol.json")
    assert status == 0
    assert "36 keys left that nobody has seen" in " ".join(err.split())
    bobs, carols = (json.loads((tmp_path / name).read_text()) for name in ("for-bob.json", "for-carol.json"))
    assert [f["key"] for f in bobs["fingerprints"] + carols["fingerprints"]] == [pair["key"] for pair in PAIRS[:8]]
    assert len((tmp_path / "pairs.ledger.jsonl").read_text().splitlines()) == 2
