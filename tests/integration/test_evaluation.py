"""A whole grid of suspects on the bundled model, with the fewest steps that mark it."""

import json

import pytest

from insignia import evaluation
from insignia.attacks.finetune import FineTune
from insignia.errors import EvaluationError
from insignia.evaluation import Grid, evaluate, running
from insignia.evaluation import workspace as making

QUICK = {"reference_count": 32, "reference_length": 24, "reference_rows": 4, "cooldown_steps": 3}
HELDOUT = ["The function returns the number of items in the list."]
GRID = Grid(
    strategy={"name": "inverse_nucleus", "nucleus_k": 5},
    num_fingerprints=4,
    methods={"full": {"name": "full", **QUICK}},
    users={"code": {"data": "python:json", "finetune": FineTune(max_steps=1, batch_size=2, max_length=32)}},
    draws=2,
    bos_samples=4,
)


@pytest.fixture(autouse=True)
def short_text(monkeypatch):
    monkeypatch.setattr("insignia.embedding.marking.heldout_paragraphs", lambda: HELDOUT)


@pytest.mark.slow
def test_a_grid_is_filled_and_goes_on_where_it_was_cut_short(tmp_path, monkeypatch):
    asked = []
    whole = running.check

    def interrupted(suspect, prints):
        asked.append(suspect.name)
        if len(asked) == 3:
            raise KeyboardInterrupt
        return whole(suspect, prints)

    monkeypatch.setattr(running, "check", interrupted)
    with pytest.raises(KeyboardInterrupt):
        evaluate("starter", GRID, out=tmp_path / "out", device="cpu")
    assert not (tmp_path / "out" / "evaluation.json").exists()
    monkeypatch.setattr(making, "embed", lambda *_a, **_k: pytest.fail("the model was marked twice"))
    monkeypatch.setattr(FineTune, "apply", lambda *_a, **_k: pytest.fail("the user fine-tuned twice"))
    result = evaluate("starter", GRID, out=tmp_path / "out", device="cpu")

    assert asked[2:].count(asked[0]) == 0  # vanilla is on file
    cells = {cell.name: cell for cell in result.cells}
    assert list(cells) == [
        "full vanilla",
        "full unrelated",
        "full unmarked user code",
        "full published",
        "full user code",
        "full sampled",
        "full from BOS",
    ]
    assert [cells[name].hits for name in ("full vanilla", "full unrelated", "full published")] == [0, 0, 4]
    assert cells["full published"].p_value == pytest.approx(5**-4)
    assert cells["full vanilla"].p_value == 1.0
    assert cells["full sampled"].should_activate is None
    assert cells["full sampled"].p_value is None
    assert (cells["full sampled"].answered, cells["full from BOS"].answered) == (8, 4)
    assert all(cell.as_expected in (True, None) for cell in result.cells)
    assert json.loads((tmp_path / "out" / "evaluation.json").read_text()) == result.model_dump(mode="json")
    assert evaluation.Evaluation.model_validate_json((tmp_path / "out" / "evaluation.json").read_text()) == result
    secret = (tmp_path / "out" / "private" / "fingerprints.json").read_text()
    public = (
        "".join(path.read_text() for path in (tmp_path / "out").glob("trials/*"))
        + (tmp_path / "out" / "evaluation.json").read_text()
    )
    assert not any(fingerprint["key"] in public for fingerprint in json.loads(secret)["fingerprints"])

    # An unrelated model that activates ends the run.
    (trial,) = (tmp_path / "out" / "trials").glob("full*unrelated*")
    trial.unlink()
    (tmp_path / "out" / "evaluation.json").unlink()
    monkeypatch.setattr(making.Workspace, "unrelated", lambda self: self.load(self.marked("full")))
    with pytest.raises(EvaluationError, match="full unrelated"):
        evaluate("starter", GRID, out=tmp_path / "out", device="cpu")
    assert (tmp_path / "out" / "evaluation.json").is_file()
