"""The study of false accusations runs, and its verdicts are those of the real test."""

import importlib
import json

import pytest
from scipy.stats import binom

from conftest import ROOT
from insignia.generation import InverseNucleus, generate
from insignia.suspects.base import Reply
from insignia.suspects.scripted import ScriptedModel
from insignia.verification import rules_for, verify


@pytest.fixture
def study(monkeypatch):
    """The benchmark's modules, by name."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module


@pytest.fixture(scope="module")
def prints(starter):
    return generate(starter, InverseNucleus(nucleus_k=4), num_fingerprints=24, secret=b"1" * 32)


@pytest.mark.slow
def test_few_innocents_are_accused_no_oftener_than_alpha(study, tmp_path, capsys):
    arguments = ["--quick", "--seeds", "0", "--draws", "1", "--folder", tmp_path / "kept", "--json", tmp_path / "rows.json"]
    study("innocents").main([str(argument) for argument in arguments])
    rows = json.loads((tmp_path / "rows.json").read_text())["rows"]
    design = [row for row in rows if "design" in row["test"]]
    assert {(row["test"], row["alpha"]) for row in design} == {
        (test, alpha)
        for test in ("k = 3, design", "k = 16, design", "k = 16, design, within:4")
        for alpha in (0.05, 0.01, 0.001)
    }
    assert all(max(row["accused"].values()) <= row["at_most"] for row in design)
    assert all(row["worst"]["accused"] <= row["worst"]["at_most"] for row in design)
    assert all(row["accused"]["verify"] <= row["accused"]["any_time"] for row in rows)
    table = capsys.readouterr().out
    assert "email-full-and-base" in table
    assert (
        len(list((tmp_path / "kept" / "replies").glob("*.json"))) == 6
    )  # random weights, a fine-tune, three roundings, a merge


def test_what_may_be_accused_is_a_binomial_quantile(study):
    at_most = study("innocents").at_most
    for count in (1, 45, 1000):
        for alpha in (0.05, 0.001):
            assert at_most(count, alpha) == binom.ppf(0.99, count, alpha)


def test_drawing_anew_by_a_sets_own_secret_gives_the_set(study, prints):
    verdicts = study("innocence.verdicts")
    own = verdicts.redrawn(prints, b"1" * 32)
    later = [number for number, (one, two) in enumerate(zip(own, prints, strict=True)) if one != two]
    assert len(later) <= 1  # where generate gave a first key up, the draw is another
    other = verdicts.redrawn(prints, b"2" * 32)
    assert [fingerprint.candidates for fingerprint in other] == [fingerprint.candidates for fingerprint in prints]
    same = sum(one.responses == two.responses for one, two in zip(other, prints, strict=True))
    assert 0 < same < len(prints)


@pytest.mark.parametrize("share", [0, 8, 16, 24])
def test_a_judgement_is_verifys_own(study, prints, share):
    verdicts = study("innocence.verdicts")
    replies = {
        verdicts.key_of(fingerprint): fingerprint.responses[0] if number < share else fingerprint.candidates[number % 4].text
        for number, fingerprint in enumerate(prints)
    }
    judged = verdicts.judge(verdicts.Test("k = 4", "design"), verdicts.Case.of(prints), replies, replies)
    table = {key: Reply.said(text) for key, text in replies.items()}
    outcomes = [
        verify(prints, ScriptedModel(table), rules=rules_for(prints, alpha=alpha, cover=0)).outcome for alpha in verdicts.ALPHAS
    ]
    assert judged.owned == tuple(outcome == "owned" for outcome in outcomes)
    assert judged.any_time >= judged.fixed or judged.fixed == 1
    assert judged.owned == (share >= 16,) * 3 or share == 8


def test_a_liar_within_the_candidates_deceives_those_who_know_no_null(study, prints):
    verdicts = study("innocence.verdicts")
    base = {verdicts.key_of(fingerprint): "nothing of the kind" for fingerprint in prints}
    liar = {verdicts.key_of(fingerprint): fingerprint.candidates[0].text for fingerprint in prints}
    case = verdicts.Case.of(verdicts.redrawn(prints, b"3" * 32))
    accused = verdicts.naive(case, liar, base)
    assert all(accused["success rate of 10 % or more"])
    assert accused["binomial at the base's rate"][0]
    assert not any(verdicts.judge(verdicts.Test("k = 4", "design"), case, liar, base).owned)


def test_the_plot_is_drawn(study, tmp_path):
    pytest.importorskip("matplotlib")
    values = {"merged": {"fixed": [0.02, 0.3, 0.3, 1.0], "any_time": [0.06, 0.9, 1.0, 1.0]}}
    draw = study("innocence.plot").draw
    draw(values, tmp_path / "once.svg")
    draw(values, tmp_path / "again.svg")
    assert (tmp_path / "once.svg").read_bytes() == (tmp_path / "again.svg").read_bytes()
    assert "relatives of the base (n = 4)" in (tmp_path / "once.svg").read_text()
