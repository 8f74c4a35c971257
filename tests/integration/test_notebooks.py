"""The notebooks of the documentation run, and show what they say they show."""

import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / "docs" / "mark-attack-verify-report.ipynb"


@pytest.fixture
def notebooks(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs")
    import run_notebooks

    yield run_notebooks
    del sys.modules["run_notebooks"]


def test_what_a_notebook_shows_is_kept_in_it_and_tells_no_key(notebooks):
    cells = {cell["id"]: cell for cell in notebooks.cells_of(json.loads(NOTEBOOK.read_text(encoding="utf-8")))}
    shown = {name: json.dumps(cell["outputs"]) for name, cell in cells.items()}
    assert all(cell["execution_count"] for cell in cells.values())
    assert all("<table>" in shown[name] for name in ("embed", "check", "merge", "verdict", "innocent"))
    assert "<svg" in shown["verdict"]
    assert "owned" in shown["verdict"]
    assert not any(f'"{word}"' in text for text in shown.values() for word in ("key", "response", "secret"))


@pytest.mark.slow
def test_the_notebook_runs_and_proves_the_mark(notebooks, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "__main__"}
    for cell in notebooks.cells_of(json.loads(NOTEBOOK.read_text(encoding="utf-8"))):
        notebooks.run_cell(cell, names)
    assert names["verdict"].outcome == "owned"
    assert "<svg" in names["verdict"]._repr_html_()
    assert names["ring"].verify(names["insignia"].LocalModel("starter")).outcome != "owned"
    assert Path("report.html").stat().st_size < 1_000_000
