"""``insignia attack`` and ``insignia list attacks``."""

import json

import pytest

from tiny_checkpoints import moved, same, save_model, tensors_in, weights


@pytest.fixture
def family(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_model(tmp_path / "base", weights())
    save_model(tmp_path / "marked", moved(weights()))
    return tmp_path


def test_an_attack_is_named_and_its_fields_are_flags(insignia, family):
    status, out, err = insignia("attack", "merge", "--model", "marked", "--base", "base", "--weight", 0.0, "-o", "merged")

    assert (status, "merged: attacked by merge" in out, "insignia check PRINTS --model merged" in out) == (0, True, True)
    assert "merge " in err
    assert same(tensors_in(family / "merged"), weights())


def test_the_result_as_json_and_settings_by_name_and_by_recipe(insignia, family):
    (family / "mine.yaml").write_text("attack: {attack: {name: merge, others: [base], weight: 0.25}}")
    status, out, err = insignia("attack", "merge", "--model", "marked", "-o", "one", "--recipe", "mine.yaml", "--json", "-q")
    report = json.loads(out)
    again, _, _ = insignia("attack", "merge", "--model", "marked", "-o", "two", "--set", "others=[base]", "--weight", 0.25)

    assert (status, again, err) == (0, 0, "")
    assert report["attack"].items() >= {"name": "merge", "weight": 0.25, "others": ["base"]}.items()
    assert report.items() >= {"tensors": 7, "out": "one"}.items()
    assert same(tensors_in(family / "one"), tensors_in(family / "two"))


def test_the_seed_repeats_an_attack(insignia, family):
    for out, seed in (("one", 5), ("two", 5), ("three", 6)):
        assert insignia("attack", "noise", "--model", "marked", "-o", out, "--seed", seed)[0] == 0
    one, two, three = (tensors_in(family / out) for out in ("one", "two", "three"))

    assert same(one, two)
    assert not same(one, three)


def test_an_output_is_replaced_only_by_force(insignia, family):
    assert insignia("attack", "prune", "--model", "marked", "-o", "out")[0] == 0
    status, _, err = insignia("attack", "noise", "--model", "marked", "-o", "out")
    kept = tensors_in(family / "out")

    assert (status, "exists" in err, err.count("\n")) == (1, True, 1)
    assert insignia("attack", "noise", "--model", "marked", "-o", "out", "--force")[0] == 0
    assert not same(kept, tensors_in(family / "out"))


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["merg"], 1, "unknown attack 'merg'. Did you mean 'merge'?"),
        (["suppress_topk"], 1, "'suppress_topk' is an attack by a host"),
        (["merge"], 1, "merging by linear needs another model"),
        (["merge", "--how", "ties", "--other", "base"], 1, "merging by ties needs a base"),
        (["merge", "--share", "0.5"], 2, "has no such option. It is one of: prune"),
        (["prune", "--share", "50"], 2, "0.0<=x<=1.0|at most 1"),
        (["prune", "--set", "shar=1"], 1, "there is no such setting. Did you mean 'share'?"),
        (["subtract"], 1, "vector: "),
        (["subtract", "--vector", "base"], 1, "has no vector.json"),
        (["meraser", "--data", "none.json"], 1, "none.json"),
        (["finetune"], 1, "needs data"),
    ],
)
def test_what_is_wrong_is_told_in_a_line_and_nothing_is_written(insignia, family, arguments, status, message):
    before = sorted(family.iterdir())
    found, out, err = insignia("attack", *arguments, "--model", "marked", "-o", "out")

    assert (found, out) == (status, "")
    assert any(part in " ".join(err.replace("│", "").split()) for part in message.split("|")), err
    if status == 1:
        assert err.startswith("error: ")
        assert err.count("\n") == 1
    assert sorted(family.iterdir()) == before


def test_attacks_are_listed_by_what_they_attack(insignia):
    _, out, _ = insignia("list", "attacks", "--json")
    found = json.loads(out)

    assert found["merge"]["on"] == found["finetune"]["on"] == "weights"
    assert found["suppress_topk"]["on"] == found["refuse"]["on"] == "host"
    assert all(about["what"].endswith(".") for about in found.values())
