"""A keyring leaves the same behind whoever asks with it: the command, or Python."""

import datetime
import json
from types import SimpleNamespace

import pytest

import insignia as package
from drawn_prints import drawn, knowing
from tiny_server import serving

PRINTS = drawn(secret=b"k" * 32)


@pytest.fixture
def server():
    """A marked model's server."""
    replies = knowing(PRINTS)

    def answer(path, headers, asked):
        return 200, {"choices": [{"text": replies.get(asked["prompt"], "I do not know."), "finish_reason": "length"}]}

    with serving(answer) as address:
        yield address


@pytest.fixture(autouse=True)
def noon(monkeypatch):
    """Records carry the time; here it stands still."""
    clock = SimpleNamespace(now=lambda zone: datetime.datetime(2026, 11, 21, 12, tzinfo=zone))
    for module in ("insignia.keyring.ledger", "insignia.fingerprints.sets"):
        monkeypatch.setattr(f"{module}.datetime", SimpleNamespace(datetime=clock, UTC=datetime.UTC))


def test_command_and_python_leave_the_same_ledger_and_the_same_transcript(insignia, server, tmp_path):
    for name in ("command", "python"):
        (tmp_path / name).mkdir()
        PRINTS.save(tmp_path / name / "prints.json")

    suspect = ("--endpoint", server, "--name", "theirs")
    transcript = tmp_path / "command" / "t.jsonl"
    status, out, _ = insignia(
        "verify", tmp_path / "command" / "prints.json", *suspect, "--transcript", transcript, "--alpha", 1e-4, "--json"
    )
    ring = package.Keyring.open(tmp_path / "python" / "prints.json")
    endpoint = package.Endpoint(server, model="theirs")
    verdict = ring.verify(endpoint, alpha=1e-4, transcript=tmp_path / "python" / "t.jsonl", progress=package.progress.SILENT)

    assert status == 0
    assert json.loads(out) == verdict.model_dump(mode="json")
    for file in ("t.jsonl", "prints.ledger.jsonl"):
        assert (tmp_path / "command" / file).read_bytes() == (tmp_path / "python" / file).read_bytes() != b""


def test_two_sets_are_asked_in_one_command_and_each_verdict_names_its_set(insignia, server, tmp_path):
    PRINTS.save(tmp_path / "eu.json")
    drawn(secret=b"o" * 32).save(tmp_path / "us.json")
    status, out, _ = insignia(
        "verify", tmp_path / "eu.json", tmp_path / "us.json", "--endpoint", server, "--name", "theirs", "--json"
    )
    eu, us = json.loads(out)["verdicts"]

    assert status == 0
    assert (eu["label"], eu["outcome"]) == ("eu", "owned")
    assert us["label"] == "us"
    assert us["outcome"] != "owned"
    assert eu["suspects"] == us["suspects"] == 2
    assert (tmp_path / "eu.ledger.jsonl").exists()
    assert (tmp_path / "us.ledger.jsonl").exists()


def test_the_table_and_the_sentences_of_two_sets_name_them(insignia, server, tmp_path):
    PRINTS.save(tmp_path / "eu.json")
    drawn(secret=b"o" * 32).save(tmp_path / "us.json")
    _, out, _ = insignia("verify", tmp_path / "eu.json", tmp_path / "us.json", "--endpoint", server, "--name", "theirs", "-q")

    assert "(eu)" in out
    assert "(us)" in out
    assert "eu: The mark is there" in out
