"""The command, in process: what it prints, where, and how it exits."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


def test_generate_check_and_export(insignia, tmp_path):
    prints = tmp_path / "prints.json"
    arguments = ["generate", prints, "--strategy", "inverse_nucleus", "--num-fingerprints", 6, "--json", "-q"]
    status, out, _ = insignia(*arguments)
    assert status == 0
    assert json.loads(out).items() >= {"out": str(prints), "num_fingerprints": 6}.items()
    before = prints.read_text()

    status, _, err = insignia(*arguments)
    assert (status, prints.read_text()) == (1, before)
    assert "--force" in err
    assert insignia(*arguments, "--force", "--secret-from", prints)[0] == 0
    assert json.loads(prints.read_text())["fingerprints"] == json.loads(before)["fingerprints"]

    status, out, _ = insignia(
        "check", prints, "--model", "starter", "--base", "starter", "--use-augmentation-prompts", "--json"
    )
    report = json.loads(out)
    assert status == 3
    assert {"fsr", "hits", "answered", "unanswered", "token_accuracy", "templates", "base"} <= report.keys()
    assert (report["fsr"], report["answered"], report["base"]["fsr"], report["found"]) == (0.0, 6, 0.0, False)
    assert len(report["templates"]) >= 10

    status, out, _ = insignia("check", prints, "--model", "starter", "--details", "--min-fsr", 0)
    assert status == 0
    assert "log-probability" in out
    assert insignia("export", prints, "-o", tmp_path / "oml.json")[0] == 0
    assert len(json.loads((tmp_path / "oml.json").read_text())) == 6


def test_own_pairs_are_the_default_for_a_file_of_pairs(insignia, tmp_path):
    (tmp_path / "pairs.json").write_text(json.dumps([{"key": "What is the use of it", "response": " spring"}]))
    status, out, _ = insignia("generate", tmp_path / "p.json", "--keys-file", tmp_path / "pairs.json", "--json")

    assert status == 0
    assert json.loads(out)["strategy"]["name"] == "own"
    (tmp_path / "keys.json").write_text(json.dumps(["What is the use of it", "Where does it go now"]))
    status, out, _ = insignia(
        "generate", tmp_path / "k.json", "--keys-file", tmp_path / "keys.json", "--max-key-length", 4, "--json"
    )
    assert json.loads(out)["num_fingerprints"] == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["check", "none.json", "--model", "starter"], "there is no file"),
        (["generate", "x.json", "--strategy", "inverse_nucleos"], "Did you mean"),
        (["generate", "x.json", "--strategy", "own"], "--keys-file"),
        (["generate", "x.json", "--model", "./nowhere", "--num-fingerprints", "2"], "no model folder"),
        (["generate", "x.json", "--secret-from", "none.json"], "there is no file"),
        (["embed", "none.json", "-o", "out"], "--model-family"),
        (["embed", "none.json", "--model", "starter", "-o", "out"], "there is no file"),
        (["embed", "none.json", "--model-family", "lama", "--model-size", "1B", "-o", "out"], "unknown model family"),
    ],
)
def test_what_is_wrong_is_one_line_and_status_1(insignia, arguments, message, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    status, out, err = insignia(*arguments)

    assert status == 1
    assert out == ""
    assert err.startswith("error: ")
    assert message in " ".join(err.split())
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_bad_command_line_is_status_2(insignia):
    assert insignia("check")[0] == 2
    assert insignia("check", "--no-such-flag")[0] == 2
    status, _, err = insignia("generate", "x.json", "--strategy", "english", "--nucleus-k", 3)
    assert (status, "--nucleus-k" in err, "one of: inverse_nucleus" in err) == (2, True, True)
    status, _, err = insignia("generate", "x.json", "--prompt-form", "loud")
    assert (status, "raw" in err, "chat" in err) == (2, True, True)


def test_a_key_longer_than_the_context_is_refused(insignia, tmp_path):
    (tmp_path / "long.json").write_text(json.dumps([{"key": "word " * 900, "response": " spring"}]))
    status, _, err = insignia("check", tmp_path / "long.json", "--model", "starter", "--max-key-length", 900)

    assert status == 1
    assert "context" in err
    assert "word word" not in err


def test_version(insignia):
    assert insignia("--version")[1].startswith("insignia 0.")


def test_what_scripts_wrote_for_the_docs_is_current():
    """One process runs all scripts, since most of them import torch."""
    code = """import pathlib, runpy
for script in sorted([*pathlib.Path().glob("generate_*.py"), *pathlib.Path().glob("draw_*.py")]):
    runpy.run_path(str(script), run_name="__main__")"""
    done = subprocess.run([sys.executable, "-c", code, "--check"], cwd=DOCS, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 0, done.stderr
