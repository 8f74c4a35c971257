"""A grid of attacks on the marked starter, by the command: what is left, what it cost, and controls."""

import json
import os
import re
from pathlib import Path

import pytest
import yaml

from insignia.attacks.base import ATTACKS
from insignia.errors import EvaluationError
from insignia.evaluation import AttackGrid, Mark, Robustness, cells, measure_robustness
from insignia.fingerprints.sets import load_fingerprints

ATTACKED = {
    "merge": {"name": "merge", "base": "$base", "weight": [0.5, 0.1]},
    "forgetful host": {"name": "suppress_topk"},
    "leak": {"name": "unlearn", "prints": "$prints", "leaked": 999},
}


@pytest.fixture(autouse=True)
def little_text(monkeypatch, heldout):
    monkeypatch.setattr("insignia.evaluation.habits.heldout_paragraphs", lambda: heldout[:20])
    monkeypatch.setattr("insignia.evaluation.habits._PARAGRAPHS", 4)


@pytest.fixture(scope="session")
def sibling(made_once):
    """An innocent model near the starter."""

    def make(folder):
        ATTACKS.build({"name": "noise", "spread": 0.02}).apply("starter", folder / "model", device="cpu")

    return made_once("noisy-starter", make) / "model"


@pytest.mark.slow
def test_a_grid_by_the_command(insignia, tmp_path, marked_starter, sibling, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text(yaml.safe_dump({"robustness": {"attacks": ATTACKED}}, sort_keys=False))
    command = ["evaluate", "robustness", "--recipe", "mine.yaml", "--base", "starter", "--sibling", sibling, "-o", "out"]
    command += ["--model", marked_starter.model, "--fingerprints", marked_starter.prints, "--device", "cpu"]
    required = ["--require", "merge:0.5 owned by text", "--require", "merge owned by scores"]
    status, out, err = insignia(*command, *required, "--json")
    found = json.loads(out)

    assert (status, found.pop("unmet")) == (0, [])
    assert "attacking" in err
    result = Robustness.model_validate(found)
    assert result == Robustness.model_validate_json(Path("out/robustness.json").read_text())
    rows = {(row.suspect, row.label): row for row in result.rows}
    labels = ["none", "merge 0.5", "merge 0.1", "forgetful host"]
    assert list(rows) == [(suspect, label) for label in labels for suspect in ("marked", "unmarked", "sibling")]
    whole, half, tenth, host = (rows["marked", label] for label in labels)
    assert (whole.fsr, whole.changed, whole.perplexity, whole.reply_length) == (1, 0, 1, 1)
    assert list(whole.by_channel) == ["scores", "top", "choice", "text"]
    assert {proof.keys for proof in whole.by_channel.values()} == {6}
    assert (half.hits, half.answered, half.owned) == (24, 24, True)
    assert tenth.by_channel["scores"].owned
    assert not tenth.by_channel["text"].owned
    assert (host.on, host.perplexity, host.changed) == ("host", None, 1)
    assert not any(row.owned for (suspect, _), row in rows.items() if suspect != "marked")
    # 999 keys did not leak: the cells of that attack say so, and the others are made.
    # An attack that uses a secret has no controls.
    assert [(each.mark, each.attack, each.suspect) for each in result.failed] == [("model", "leak", "marked")]
    assert "999 fingerprints were requested" in result.failed[0].reason
    assert not list(Path("out/attacked").iterdir())
    keys = [each.key for each in load_fingerprints(marked_starter.prints)]
    assert not any(key in path.read_text() for path in Path("out").rglob("*.*") if path.is_file() for key in keys)
    assert not marked_starter.prints.with_suffix(".ledger.jsonl").exists()

    # A second run makes no cell again; what is required and does not survive is told by the exit status.
    monkeypatch.setattr(cells, "ask", lambda *_a, **_k: pytest.fail("a stored cell was asked again"))
    status, out, _ = insignia(*command, "--require", "merge owned by text", "-q")
    assert (status, "Not met: merge owned by text" in out) == (3, True)
    assert re.search(r"merge 0\.5 .* 100 % 6/6 +0 of 2", out)
    assert "Not made: leak" in out
    assert "a result of 'insignia evaluate robustness'" in insignia("show", "out")[1]
    (cell,) = Path("out/cells").glob("model-marked-none*")
    cell.write_text(cell.read_text()[:99])
    status, _, err = insignia(*command, "-q")
    assert (status, "is damaged; delete it" in err) == (1, True)


@pytest.mark.slow
def test_several_processes_find_what_one_finds_and_know_plugins(insignia, tmp_path, marked_starter, sibling):
    plugin, recipe = tmp_path / "plugin.py", tmp_path / "mine.yaml"
    plugin.write_text(
        "import os\n"
        "from pathlib import Path\n"
        "from insignia.attacks.base import ATTACKS, HostAttack\n"
        "@ATTACKS.register\n"
        "class Honest(HostAttack):\n"
        "    name: str = 'honest'\n"
        "    def wrap(self, model):\n"
        "        Path(__file__).with_suffix(f'.{os.getpid()}').touch()\n"
        "        return model\n"
    )
    attacks = {"honest": {"name": "honest"}, "subtract": {"name": "subtract", "vector": "$vector", "scale": [0.5, 1.0]}}
    recipe.write_text(yaml.safe_dump({"robustness": {"attacks": attacks}}))
    command = ["--plugin", plugin, "evaluate", "robustness", "--recipe", recipe, "--base", "starter", "--sibling", sibling]
    command += ["--model", marked_starter.model, "--fingerprints", marked_starter.prints, "--device", "cpu", "--json"]
    found = []
    here = plugin.with_suffix(f".{os.getpid()}")
    for workers in (2, 1):
        status, out, err = insignia(*command, "-o", tmp_path / str(workers), "--workers", workers)
        assert status == 0, err
        assert here.exists() is (workers == 1)
        rows = json.loads(out)["rows"]  # other processes measure harm on all the text
        found.append([(row["attack"], row["strength"], row["suspect"], row["hits"], row["by_channel"]) for row in rows])
    assert found[0] == found[1]
    assert len(found[0]) == 8  # three attacks and none; subtract has no controls


@pytest.mark.slow
def test_a_control_with_the_mark_ends_the_run(tmp_path, marked_starter):
    grid = AttackGrid(
        marks={"mine": Mark(model=str(marked_starter.model), fingerprints=marked_starter.prints)},
        attacks={"host": {"name": "system_prompt"}},
    )
    with pytest.raises(EvaluationError, match=r"sibling after host \(keys of mine\), sibling after none"):
        measure_robustness("starter", grid, out=tmp_path / "out", sibling=marked_starter.model, device="cpu")
    result = Robustness.model_validate_json((tmp_path / "out" / "robustness.json").read_text())
    assert {row.suspect for row in result.accused} == {"sibling"}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--model", "marked"], "belong together"),
        ([], "no mark to attack"),
        (["--model", "a/m", "--fingerprints", "p", "--model", "b/m", "--fingerprints", "p"], "one name"),
        (["--model", "m", "--fingerprints", "p", "--require", "merge owned by force"], "expected 'ATTACK"),
        (["--recipe", "instructional"], "has no 'robustness:'"),
        (["-o", "out.html"], "give a folder's name"),
    ],
)
def test_what_cannot_be_evaluated_is_told_at_once(insignia, tmp_path, arguments, told):
    out = tmp_path / "out"
    status, _, err = insignia("evaluate", "robustness", "--base", "starter", "-o", out, *arguments)
    assert (status, told in err, out.exists()) == (1, True, False)
