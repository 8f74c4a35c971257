"""The benchmark of graded evidence runs, and its tables pay what the real test pays."""

import importlib
import itertools
import json
import math

import numpy as np
import pytest

from conftest import ROOT
from insignia.evaluation.replays import replay, wanted
from insignia.generation import InverseNucleus, generate
from insignia.suspects.base import CHANNELS, Reply

COUNT, K = 12, 4


@pytest.fixture
def grading(monkeypatch):
    """The benchmark's modules, by name."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return lambda name: importlib.import_module(f"grading.{name}")


@pytest.fixture(scope="module")
def prints(starter):
    """A set of drawn responses."""
    return generate(starter, InverseNucleus(nucleus_k=K), num_fingerprints=COUNT, secret=b"1" * 32)


@pytest.fixture(scope="module")
def ordered(prints):
    """The same with a secret order at each key."""
    fingerprints = []
    for number, each in enumerate(prints):
        drawn = each.candidates.index(next(one for one in each.candidates if one.text == each.responses[0]))
        others = [place for place in range(K) if place != drawn]
        order = (drawn, *others[number % 3 :], *others[: number % 3])
        fingerprints.append(each.model_copy(update={"order": order}))
    return prints.model_copy(update={"fingerprints": tuple(fingerprints)})


def told_by(prints, scored, grading):
    return grading("liars").heard([scored(number, each) for number, each in enumerate(prints)], prints)


def knows(_number, fingerprint):
    """A suspect that carries the mark: scores fall along the secret order, or from the response."""
    texts = [candidate.text for candidate in fingerprint.candidates]
    order = fingerprint.order or [texts.index(fingerprint.responses[0])]
    return [-float(order.index(place)) if place in order else -9.0 for place in range(len(texts))]


def ties(number, fingerprint):
    return [-float((number + place) % 3) for place in range(len(fingerprint.candidates))]


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("scored", [knows, ties])
def test_tables_pay_what_the_real_verdict_pays(grading, prints, ordered, whole, scored):
    chosen = ordered if whole else prints
    told = told_by(chosen, scored, grading)
    searches = wanted(chosen)
    for channel in CHANNELS:
        table = grading("falsely").table(channel, told[channel], searches)
        _, peak = grading("tables").e_values(table.capital, table.growths_for(searches))
        real = replay(chosen, searches, channel, told[channel], range(COUNT))
        assert real.log_p_of_all == pytest.approx(-math.log(peak[0]), abs=1e-9)
        if scored is knows:
            assert real.log_p_of_all < -8


@pytest.mark.parametrize("whole", [False, True])
def test_the_real_verdict_agrees_after_secrets_are_redrawn(grading, prints, ordered, whole):
    innocent = grading("liars").Innocent("ties", "liars", {"any": told_by(prints, ties, grading)})
    assert grading("falsely").disagreement(innocent, {"any": ordered if whole else prints}) < 1e-9


@pytest.mark.parametrize("scores", [(-1.0, -2.0, -3.0, -4.0), (-1.0, -1.0, -3.0, -4.0), (-1.0, -2.0, -2.0, -2.0)])
def test_a_key_pays_one_on_average_over_all_orders(grading, ordered, scores):
    searches = {0: wanted(ordered)[0]}
    reply = Reply(status="answered", channel="scores", scores=scores)
    table = grading("falsely").table("scores", [reply], searches)
    orders = [{0: searches[0]._replace(order=order)} for order in itertools.permutations(range(K))]
    paid = np.mean([next(table.growths_for(order)) for order in orders], axis=0)
    assert paid == pytest.approx(np.ones_like(paid))


def test_the_replayed_test_ends_where_verify_ends(grading, prints):
    told = told_by(prints, knows, grading)
    tests = grading("replays").replays(prints, "scores", told["scores"], orders=3)
    assert {one.asked for one in tests} == {12}  # 4^10 exceeds 1e6; dividing the capital costs two keys
    cell = grading("replays").Cell.of(tests)
    assert (cell.median, cell.owned, cell.tests) == (12, 3, 3)
    nothing = grading("replays").replays(prints, "text", [Reply(status="answered", text="well")] * COUNT, orders=1)
    assert str(grading("replays").Cell.of(nothing)) == "- (p 1e0)"


def test_survival_and_bets_print_their_tables(grading, marked_starter, tmp_path, capsys):
    home = tmp_path / "inverse_nucleus0"
    home.mkdir()
    (home / "prints.json").symlink_to(marked_starter.prints)
    (home / "model").symlink_to(marked_starter.model, target_is_directory=True)
    main = importlib.import_module("graded").main
    main(
        [
            "survival",
            "--quick",
            "--seeds",
            "0",
            "--orders",
            "1",
            "--folder",
            str(tmp_path),
            "--json",
            str(tmp_path / "rows.json"),
        ]
    )
    rows = {row["attack"]: row for row in json.loads((tmp_path / "rows.json").read_text())["rows"]}
    assert all(row["controls"][0] == 0 for row in rows.values())
    assert all(rows["none"][channel]["median"] == 6 for channel in ("scores", "choice"))
    assert rows["merged at 0.05"]["text"]["owned"] == 0
    main(["bets", "--runs", "3"])
    table = capsys.readouterr().out
    assert "70% pruned" in table
    assert "first at 100% of keys, else any other place      bets on places     6" in table


def test_few_liars_are_accused_no_oftener_than_alpha(grading, tmp_path, monkeypatch):
    """Models are left out here: test_innocents.py makes them."""
    monkeypatch.setattr(grading("liars").Innocents, "all", lambda *_, **__: iter(()))
    file = tmp_path / "rows.json"
    arguments = [
        "innocents",
        "--quick",
        "--keys",
        "8",
        "--redraws",
        "20",
        "--strategies",
        "inverse_nucleus",
        "--folder",
        tmp_path,
        "--json",
        file,
    ]
    importlib.import_module("graded").main([str(argument) for argument in arguments])
    rows = json.loads(file.read_text())
    assert [row["channel"] for row in rows[::3]] == [*CHANNELS, "adaptive"]
    assert all(max(row["accused"].values()) <= row["at_most"] for row in rows)
    assert all(row["worst"]["accused"] <= row["worst"]["at_most"] for row in rows)


@pytest.mark.slow
def test_ways_print_a_row_for_each_method_type_and_sibling(grading, tmp_path, capsys):
    main = importlib.import_module("graded").main
    main(["ways", "--quick", "--keys", "4", "--seeds", "0", "--orders", "1", "--folder", str(tmp_path)])

    rows = [line.split() for line in capsys.readouterr().out.splitlines() if " x" in line]
    assert [row[0] for row in rows] == ["full", "q8_0", "q4_0", "stamped", "lora", "embedding"]
    assert (tmp_path / "ranked0" / "stamped" / "model.safetensors").is_file()
