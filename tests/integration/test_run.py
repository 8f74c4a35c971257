"""A whole run through the command: planned, made, skipped, swept, and the commented file that begins one."""

import json
import re
from pathlib import Path

import pytest
import yaml

from tiny_checkpoints import moved, save_model, weights


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_model(tmp_path / "base", weights())
    save_model(tmp_path / "marked", moved(weights()))
    return tmp_path


RUN = """
vector: {base: base, marked: marked, output: secret/vector}
stamp:
- {model: base, vectors: secret/vector, output: stamped}
- {model: marked, vectors: [secret/vector], output: cleaned, scale: -1}
"""


def test_a_run_is_planned_then_made_then_current(insignia, here):
    (here / "mark.yaml").write_text(RUN)
    status, out, _ = insignia("run", "mark.yaml", "--dry-run")
    assert status == 0
    assert "insignia stamp marked secret/vector --output cleaned --scale=-1" in out
    assert {path.name for path in here.iterdir()} == {"base", "marked", "mark.yaml"}

    status, out, err = insignia("run", "mark.yaml")
    assert status == 0
    assert "[3/3] stamp cleaned: it was not made yet" in err
    assert re.search(r"stamp stamped +done", out)
    assert (here / "secret").stat().st_mode & 0o077 == 0

    status, out, _ = insignia("run", here / "mark.yaml", "--json")
    assert [step["ran"] for step in json.loads(out)["steps"]] == [False] * 3


def test_a_grid_has_a_folder_a_cell_and_a_table(insignia, here):
    (here / "runs").mkdir()
    text = "vector: {base: ../base, marked: ../marked, output: v, rank: 1}\ngrid: {vector.dtype: [float32, bfloat16]}\n"
    (here / "runs" / "sweep.yaml").write_text(text)
    status, out, _ = insignia("run", "runs/sweep.yaml", "-q")
    assert status == 0
    assert {path.parent.name for path in (here / "runs").glob("*/v")} == {"dtype=float32", "dtype=bfloat16"}
    rows = out.partition("The grid")[2]
    assert re.search(r"vector\.dtype +vector: size\s+float32 +\d.*\s+bfloat16 +\d", rows)


def test_an_error_of_a_step_is_told_and_is_the_exit_status(insignia, here):
    (here / "mark.yaml").write_text(
        "vector: {base: base, marked: base, output: v}\nstamp: {model: base, vectors: v, output: s}\n"
    )
    status, out, err = insignia("run", "mark.yaml")
    assert status == 1
    assert "vector: base and marked model are equal" in err
    assert "stamp: not run: it needs vector" in out
    assert not (here / "v").exists()


def test_what_is_misspelt_is_said_in_one_line(insignia, here):
    (here / "mark.yaml").write_text(RUN.replace("marked: marked", "marekd: marked"))
    status, out, err = insignia("run", "mark.yaml")
    assert (status, out) == (1, "")
    assert err == "error: vector: there is no option 'marekd'. Did you mean 'marked'? See 'insignia vector --help'\n"


def test_the_commented_file_is_a_run(insignia, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert insignia("init", "run", "first.yaml")[0] == 0
    text = Path("first.yaml").read_text()
    everything = re.sub(r"(?m)^# (?=# |evaluate|  |grid)", "", re.sub(r"(?m)^( +|#   )# (?=[a-z_]+: )", r"\1", text))
    for written, steps in ((text, 7), (everything, 1 + 2 * 7)):
        Path("run.yaml").write_text(written)
        status, out, err = insignia("run", "run.yaml", "--dry-run", "--json")
        assert (status, err) == (0, "")
        assert len(json.loads(out)["steps"]) >= steps
    assert yaml.safe_load(everything).keys() > {"grid", "evaluate robustness"}
    assert insignia("init", "run", "first.yaml")[0] == 1
