"""``show``, ``list`` and ``env``: what things are, without a key, a response, a secret or a path."""

import json

import pytest

import insignia as package
from age_files import locked
from drawn_prints import drawn, knowing
from insignia.keyring import ledger
from insignia.starter import model_folder
from insignia.suspects.scripted import ScriptedModel
from insignia.verification.protocol import verify


@pytest.fixture
def prints(tmp_path):
    chosen = drawn(64)
    chosen.save(tmp_path / "prints.json")
    return chosen


def secrets(prints):
    return {text for each in prints for text in (each.key, *each.responses)} | {prints.secret}


def test_a_set_is_shown_with_what_is_spent_and_what_it_can_prove(insignia, prints, tmp_path):
    ledger.record(tmp_path / "prints.json", prints, [1, 2], to="somebody")
    status, out, _ = insignia("show", tmp_path / "prints.json", "--json")
    found = json.loads(out)

    assert status == 0
    assert (found["fingerprints"], found["spent"], found["unspent"]) == (64, 2, 62)
    assert "at alpha 1e-6" in found["note"]
    status, table, _ = insignia("show", tmp_path / "prints.json")
    assert status == 0
    assert not [text for text in secrets(prints) if text in out + table]


def test_a_locked_set_is_shown_to_who_can_open_it(insignia, prints, tmp_path, monkeypatch):
    monkeypatch.setenv("INSIGNIA_PASSPHRASE", "five random words")
    (tmp_path / "prints.age").write_bytes(locked((tmp_path / "prints.json").read_bytes(), "five random words"))
    found = json.loads(insignia("show", tmp_path / "prints.age", "--json")[1])
    assert (found["locked"], found["fingerprints"]) == (True, 64)

    monkeypatch.setenv("INSIGNIA_PASSPHRASE", "another")
    status, out, _ = insignia("show", tmp_path / "prints.age")
    assert (status, "a locked file" in out) == (0, True)


def test_what_other_commands_write_is_told_apart(insignia, prints, tmp_path):
    verdict = verify(prints, ScriptedModel(knowing(prints)), transcript=tmp_path / "transcript")
    (tmp_path / "verdict.json").write_text(verdict.model_dump_json())
    assert insignia("commit", tmp_path / "prints.json", "--model", model_folder(), "-o", tmp_path / "c.json")[0] == 0
    disclosed = ["--commitment", tmp_path / "c.json", "--transcript", tmp_path / "transcript", "-o", tmp_path / "bundle.json"]
    assert insignia("disclose", tmp_path / "prints.json", *disclosed)[0] == 0
    (tmp_path / "mine.csv").write_text("question,answer\nTOPSECRET?,TOPSECRET\n")
    (tmp_path / "vector").mkdir()
    (tmp_path / "vector" / "vector.json").write_text('{"kind": "insignia/vector", "tensors": {}}')
    kinds = {
        "verdict.json": "a verdict",
        "transcript": "a transcript",
        "c.json": "a signed commitment",
        "bundle.json": "a bundle of evidence",
        "mine.csv": "a list of keys",
        "vector": "a vector",
        model_folder(): "a model",
    }
    for name, kind in kinds.items():
        status, out, err = insignia("show", tmp_path / name)
        assert (status, err) == (0, "")
        assert kind in out
        assert json.loads(insignia("show", tmp_path / name, "--json")[1])["what"].startswith(kind)
        assert not [text for text in {*secrets(prints), "TOPSECRET"} if text in out]


def test_how_well_keys_hide_is_told_when_they_are_made_and_when_they_are_shown(insignia, tmp_path):
    path = tmp_path / "made.json"
    options = ["--num-fingerprints", 8, "--key-length", 16, "-q"]
    status, out, err = insignia("generate", path, *options, "--json")
    made, stored = json.loads(out)["stealth"], json.loads(path.read_text())

    assert (status, err) == (0, "")
    assert made == stored["stealth"] == json.loads(insignia("show", path, "--json")[1])["stealth"]
    assert made["num_ordinary"] == 32  # half of what tests learn from (conftest.py)
    for each in (made["perplexity"], made["length"], made["confidence"]):
        assert 0 < each["low"] < each["auroc"] < each["high"] < 1
        assert each["high"] - each["low"] > 0.2  # of 8 keys
    table = insignia("show", path)[1]
    assert f"AUROC of perplexity {made['perplexity']['auroc']:.2f}" in " ".join(table.split())
    assert not [
        text for each in stored["fingerprints"] for text in (each["key"], each["effective_responses"][0]) if text in out
    ]

    sampled = insignia("generate", tmp_path / "sampled.json", *options, "--key-selection", "sampled")[1]
    assert "8 inverse_nucleus fingerprints" in sampled
    assert "AUROC (95 % interval; 0.5 hides best): perplexity 0." in sampled


def test_text_of_ones_own_must_be_long_and_many(insignia, tmp_path):
    (tmp_path / "mine.txt").write_text(
        "Too short.\n\nThis one is not too short, but it is one of very few, so that it is refused.\n"
    )
    status, out, err = insignia("generate", tmp_path / "p.json", "--ordinary-text", tmp_path / "mine.txt", "-q")

    assert (status, out, (tmp_path / "p.json").exists()) == (1, "", False)
    assert "1 of the 2 ordinary texts have 16 tokens" in err


def test_an_older_set_is_saved_again_byte_by_byte(prints, tmp_path):
    before = (tmp_path / "prints.json").read_bytes()
    package.load_fingerprints(tmp_path / "prints.json").save(tmp_path / "again.json")

    assert b"stealth" not in before
    assert (tmp_path / "again.json").read_bytes() == before


@pytest.mark.parametrize("content", ["", "[]", "{}", "3", "TOPSECRET", '{"kind": "insignia/evidence"}', '{"kind": []}'])
def test_what_is_nothing_of_ours_is_one_line(insignia, tmp_path, content):
    (tmp_path / "f.json").write_text(content)
    for path in (tmp_path / "f.json", tmp_path, tmp_path / "nowhere"):
        status, out, err = insignia("show", path)
        assert (status, out, err.count("\n"), "TOPSECRET" in err) == (1, "", 1, False)


def test_parts_are_listed_with_a_line_each(insignia):
    for kind, name in (("strategies", "inverse_nucleus"), ("methods", "lora"), ("recipes", "oml")):
        status, out, _ = insignia("list", kind, "--json")
        found = json.loads(out)
        assert status == 0
        assert name in found
        assert all(about["what"] for about in found.values())
        assert name in insignia("list", kind)[1]
    status, _, err = insignia("list", "strategy")
    assert (status, "'strategies', 'methods'" in err) == (2, True)


def test_the_environment_is_told_without_a_path(insignia, monkeypatch, tmp_path):
    monkeypatch.setenv("INSIGNIA_API_KEY", "TOPSECRET")
    status, out, _ = insignia("env", "--json")
    found = json.loads(out)
    assert status == 0
    assert found["insignia"] == package.__version__
    assert found.keys() >= {"Python", "platform", "processors", "memory", "devices", "torch", "transformers", "peft"}
    assert not {"/", "TOPSECRET"} & set("".join(found.values()).split())
    assert str(tmp_path.home()) not in out
