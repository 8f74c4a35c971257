"""The harm of marks by the command, with a stand-in for lm-evaluation-harness; ``test_lm_eval.py`` asks the real one."""

import json
import shutil
from pathlib import Path

import pytest

from insignia.errors import InputError, MissingExtraError
from insignia.evaluation import HarmGrid, Harmlessness, lm_harness, measure_harmlessness, measuring_harm
from insignia.evaluation.harmlessness import Scores
from insignia.starter import model_folder

QUESTIONS = 2000


class StandIn:
    """Answers every question by the name of the model: one of five that ends in ``worse`` is wrong."""

    version = "0"

    def __init__(self, grid, *, seed):
        self.limit = grid.limit or QUESTIONS

    def load(self, asked):
        if asked.name == "nowhere":
            raise InputError("lm-evaluation-harness has no task 'nowhere'")

    def score(self, model, asked):
        wrong = 5 if model.name.endswith("worse") else QUESTIONS + 1
        numbers = range(self.limit)
        scores = tuple(float(bool((number + 1) % wrong)) for number in numbers)
        return Scores(task=asked.name, metric=asked.metric or "acc", questions=tuple(map(str, numbers)), scores=scores)


@pytest.fixture(autouse=True)
def no_harness(monkeypatch, heldout, tmp_path):
    monkeypatch.setattr(measuring_harm, "Harness", StandIn)
    monkeypatch.setattr("insignia.evaluation.habits.heldout_paragraphs", lambda: heldout[:4])
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def models(tmp_path):
    """Folders with the starter's files, by name."""
    for name in ("marked", "worse", "sibling"):
        shutil.copytree(model_folder(), tmp_path / name)
    return tmp_path


def test_identical_models_are_harmless_and_nothing_is_asked_again(insignia, models, monkeypatch):
    command = ["evaluate", "harmlessness", "--base", "starter", "--model", "marked", "-o", "out", "--device", "cpu"]
    status, out, err = insignia(*command, "--json")
    result = Harmlessness.model_validate_json(out)
    assert (status, result.finding) == (0, "harmless")
    assert "asking" in err
    assert result == Harmlessness.model_validate_json(Path("out/harmlessness.json").read_text())
    assert {path.name for path in Path("out").iterdir()} == {
        "cells", "harmlessness.html", "harmlessness.json", "harmlessness.md", "run.json",
    }  # fmt: skip
    assert str(models) not in "".join(path.read_text() for path in Path("out").rglob("*.*"))
    (one,) = result.comparisons
    assert [task.task for task in one.tasks] == ["starter_cloze", "starter_choice", "starter_ending"]
    assert (one.replies.changed, one.replies.ended_before) == (False, one.replies.ended_after)

    # A second run loads no model; a stricter bound and more tasks need only what is new.
    monkeypatch.setattr(measuring_harm, "LocalModel", lambda *_a, **_k: pytest.fail("a stored cell was asked again"))
    status, out, _ = insignia(*command, "--margin", "0.0005", "-q")
    assert (status, "not decided" in out, "For 80 % it takes about" in out) == (4, True, True)
    (cell,) = Path("out/cells").glob("marked-starter_cloze*")
    cell.write_text(cell.read_text()[:99])
    status, _, err = insignia(*command, "-q")
    assert (status, "is damaged; delete it" in err) == (1, True)


def test_harm_is_told_by_the_exit_status_the_page_and_show(insignia, models):
    command = ["evaluate", "harmlessness", "--base", "starter", "--model", "marked", "-o", "out", "--device", "cpu"]
    pair = ["--sibling", "sibling", "--stamped", "worse", "--tasks", "piqa:acc,starter"]
    status, out, err = insignia(*command, *pair, "-q")
    assert (status, err) == (3, "")
    assert "marked against starter: harmless within 1.00 points" in out
    assert "worse against sibling: harmful, piqa, starter_cloze" in out
    assert "finding harmful" in " ".join(insignia("show", "out")[1].split())
    status, out, _ = insignia("report", "out", "-o", "page.html")
    page = Path("page.html").read_text()
    assert (status, "The mark costs more than 1.00 points." in page, page.count("<svg")) == (0, True, 2)


def test_a_changed_model_is_asked_again(models):
    grid = HarmGrid(limit=20)
    measure_harmlessness("starter", ["marked"], grid, out="out", device="cpu")
    cells = set(Path("out/cells").iterdir())
    settings = json.loads((models / "marked" / "generation_config.json").read_text())
    (models / "marked" / "generation_config.json").write_text(json.dumps(settings, indent=4))
    measure_harmlessness("starter", ["marked"], grid, out="out", device="cpu")
    assert len(set(Path("out/cells").iterdir()) - cells) == 4


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "nothing to compare"),
        (["--model", "marked", "--tasks", "nowhere"], "no task 'nowhere'"),
        (["--sibling", "sibling"], "give both or neither"),
        (["--model", "marked", "--model", "./marked"], "two models have one name"),
        (["--model", "marked", "-o", "out.html"], "give a folder's name"),
    ],
)
def test_what_cannot_be_compared_is_told_at_once(insignia, models, arguments, told):
    status, _, err = insignia("evaluate", "harmlessness", "--base", "starter", "-o", "out", *arguments)
    assert (status, told in err) == (1, True)


def test_without_the_library_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(measuring_harm, "Harness", lm_harness.Harness)
    monkeypatch.setattr(lm_harness, "find_spec", lambda _name: None)
    with pytest.raises(MissingExtraError, match=r"insignia\[eval\]"):
        measure_harmlessness("starter", ["other"], out="out")
