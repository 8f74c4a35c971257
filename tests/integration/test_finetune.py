"""``insignia finetune`` on the bundled model and a handful of rows."""

import json

import pytest
import torch
from safetensors.torch import load_file

from insignia.starter import model_folder

ROWS = [{"instruction": f"Name number {number}.", "output": f"It is {number}."} for number in range(8)]


@pytest.fixture
def finetune(insignia, tmp_path):
    """Run the verb on rows; as ``insignia`` returns."""

    def run(*arguments, data=ROWS, model="starter"):
        (tmp_path / "data.json").write_text(json.dumps(data))
        return insignia("finetune", model, tmp_path / "data.json", "-o", tmp_path / "out", "--device", "cpu", *arguments)

    return run


def _changed(folder):
    before, after = load_file(model_folder() / "model.safetensors"), load_file(folder / "model.safetensors")
    assert before.keys() == after.keys()
    return {name for name in before if not torch.equal(before[name], after[name])}


def test_all_weights_are_trained_and_flags_win_over_the_recipe(finetune, tmp_path):
    flags = ["--recipe", "dolly", "--max-steps", 2, "--batch-size", 3, "--learning-rate", 1e-3, "--max-rows", 6]
    status, out, err = finetune(*flags, "--json", data=[*ROWS, {"bad": "row"}])
    report = json.loads(out)

    assert (status, "fine-tuning  2 of 2 steps" in err) == (0, True)
    assert report.items() >= {"steps": 2, "rows": 5, "out": str(tmp_path / "out")}.items()
    assert report["loss_after"] < report["loss_before"]
    assert report["method"].items() >= {"max_steps": 2, "batch_size": 3, "learning_rate": 1e-3, "max_length": 2048}.items()
    assert "model.embed_tokens.weight" in _changed(tmp_path / "out")


def test_adapters_are_merged(finetune, tmp_path):
    status, out, err = finetune("--recipe", "lora", "--max-steps", 2, "--lora-rank", 2, data=[*ROWS, {"text": ""}])

    assert status == 0
    assert "fine-tuned on 7 rows" in out
    assert "1 of 9 rows skipped: 1 without text\n" in err
    assert all("proj" in name for name in _changed(tmp_path / "out"))


def test_without_a_row_to_keep_out_there_is_no_loss(finetune):
    status, out, _ = finetune("--max-steps", 1, "--json", "--quiet", data=ROWS[:1])

    assert status == 0
    assert json.loads(out).items() >= {"rows": 1, "loss_before": None, "loss_after": None}.items()


@pytest.mark.parametrize(
    ("flags", "data", "message"),
    [
        (["--recipe", "harmless"], ROWS, "alpaca, dolly, lora, sharegpt"),
        (["--recipe", "nothing"], ROWS, "alpaca, dolly, lora, sharegpt"),
        (["--max-length", "4"], ROWS, "increase --max-length"),
        ([], [{"query": "secret"}], "has the fields query"),
        ([], [], "it is empty"),
    ],
)
def test_what_is_wrong_is_one_line_and_writes_nothing(finetune, flags, data, message, tmp_path):
    status, out, err = finetune(*flags, "--quiet", data=data)

    assert (status, out) == (1, "")
    assert message in err
    assert err.count("\n") == 1
    assert "secret" not in err
    assert not (tmp_path / "out").exists()


def test_the_output_is_never_the_data_or_the_model(finetune, tmp_path, monkeypatch):
    status, _, err = finetune("-o", tmp_path / "data.json", "--force")
    assert (status, "give a folder's name" in err) == (1, True)
    assert json.loads((tmp_path / "data.json").read_text()) == ROWS
    (tmp_path / "kept").mkdir()
    status, _, err = finetune("-o", tmp_path / "kept")
    assert (status, "--force" in err) == (1, True)


def test_alpha_without_a_rank_is_a_bad_command_line(finetune):
    status, _, err = finetune("--lora-alpha", 16)
    assert (status, "it goes with --lora-rank" in err) == (2, True)


def test_epochs_win_over_the_steps_of_a_recipe(finetune, tmp_path):
    (tmp_path / "own.yaml").write_text("finetune: {max_steps: 50, batch_size: 4}")
    status, out, _ = finetune("--recipe", tmp_path / "own.yaml", "--epochs", 0.5, "--json")

    assert status == 0
    assert json.loads(out)["steps"] == 1
