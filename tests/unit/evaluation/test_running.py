import json

import pytest

from insignia.errors import FormatError, InputError
from insignia.evaluation import Grid, evaluate, running
from insignia.modeling.local import LocalModel

GRID = Grid(
    strategy={"name": "inverse_nucleus", "nucleus_k": 5}, num_fingerprints=4, methods={"full": {"name": "full"}}, users={}
)


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("x")
    with pytest.raises(InputError, match="not empty"):
        evaluate("starter", GRID, out=tmp_path / "mine")
    other = tmp_path / "other"
    other.mkdir()
    (other / "run.json").write_text(json.dumps({"digest": "another"}))
    with pytest.raises(InputError, match="another evaluation"):
        evaluate("starter", GRID, out=other)


def test_damaged_trials_are_told(tmp_path):
    path = tmp_path / "trials" / "a-cell.jsonl"
    path.parent.mkdir()
    path.write_text('{"trial": 0, "hit": tr')
    made = type("Folder", (), {"folder": tmp_path})()
    with pytest.raises(FormatError, match="check the cell again"):
        running._cell(made, running._Ask("a cell", "x", None, list))


def test_the_bundled_grid_is_one():
    from insignia.recipes import load_recipe

    grid = Grid.model_validate(load_recipe("instructional", "evaluation")["evaluation"])
    assert set(grid.methods) == {"sft", "adapter"}
    assert LocalModel("starter", device="cpu").tokenizer.chat_template
