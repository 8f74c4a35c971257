"""Vector, stamp and evaluate through the command: the contract of ``--json``, tables, refusals."""

import json

import pytest
import yaml

from insignia import FingerprintSet, load_fingerprints
from insignia.checkpoints import Checkpoint
from insignia.modeling.loading import checkpoint_folder
from insignia.modeling.local import LocalModel, unrelated_init
from insignia.modeling.saving import save_model as publish
from insignia.records import Fingerprint
from tiny_checkpoints import moved, save_model, tensors_in

QUICK = {"name": "full", "reference_count": 32, "reference_length": 24, "reference_rows": 4, "cooldown_steps": 3}
GRID = {
    "strategy": {"name": "inverse_nucleus", "nucleus_k": 5},
    "num_fingerprints": 3,
    "methods": {"full": QUICK},
    "draws": 0,
    "bos_samples": 2,
}


@pytest.fixture
def models(tmp_path):
    """The starter, and a copy of it whose every matrix has moved a little."""
    base = checkpoint_folder("starter")
    save_model(tmp_path / "moved", moved(tensors_in(base), by=1e-3, names=list(tensors_in(base))))
    for path in base.glob("*.json"):
        (tmp_path / "moved" / path.name).write_bytes(path.read_bytes())
    return tmp_path


def test_vector_and_stamp_say_what_they_cost(insignia, models):
    status, out, _ = insignia("vector", "starter", models / "moved", "-o", models / "vector", "--json")
    said = json.loads(out)
    assert status == 0
    assert said.keys() == {
        "out", "bytes", "tensors", "tensors_changed", "tensors_stored", "norm", "energy_kept", "lineage_similarity", "seconds",
        "gigaparameters_per_second",
    }  # fmt: skip
    assert said["lineage_similarity"] > 0.9
    assert said["energy_kept"] == 1.0

    status, out, _ = insignia("stamp", "starter", models / "vector", "-o", models / "stamped", "--scale", -0.5, "--json")
    said = json.loads(out)
    assert status == 0
    assert said.keys() == {
        "out", "scale", "scales", "bytes", "tensors", "tensors_changed", "lineage_similarity", "notes", "seconds",
        "gigaparameters_per_second", "weights",
    }  # fmt: skip
    assert said["scale"] == -0.5
    with Checkpoint(models / "stamped") as stamped, Checkpoint(checkpoint_folder("starter")) as base:
        assert stamped.headers == base.headers


def test_tables_and_refusals(insignia, models):
    status, out, _ = insignia("vector", "starter", models / "moved", "-o", models / "vector", "--rank", 4, "--quiet")
    assert status == 0
    assert "energy kept" in out
    status, out, err = insignia("stamp", "starter", models / "vector", "-o", models / "vector")
    assert (status, out) == (1, "")
    assert "--force" in err
    status, _, err = insignia("stamp", "starter", models / "moved", "-o", models / "out")
    assert status == 1
    assert "insignia vector" in err
    assert not (models / "out").exists()


def test_replacing_an_output_and_accepting_a_stranger_are_two_flags(insignia, models):
    insignia("vector", "starter", models / "moved", "-o", models / "vector", "--quiet")
    publish(unrelated_init(LocalModel("starter", device="cpu"), seed=1), models / "stranger")
    command = ("stamp", models / "stranger", models / "vector", "-o", models / "out")
    status, _, err = insignia(*command, "--force")
    assert (status, "--unrelated" in err) == (1, True)
    assert not (models / "out").exists()

    status, out, _ = insignia(*command, "--unrelated")
    assert status == 0
    assert "Safe to publish" not in out
    assert "not derived" in " ".join(out.lower().split())


@pytest.mark.slow
def test_a_grid_of_ones_own_is_evaluated(insignia, tmp_path, monkeypatch):
    monkeypatch.setattr("insignia.embedding.marking.heldout_paragraphs", lambda: ["The number of items in the list."])
    (tmp_path / "grid.yaml").write_text(yaml.safe_dump({"evaluation": GRID}))
    command = ("evaluate", tmp_path / "grid.yaml", "--model", "starter", "-o", tmp_path / "out", "--quiet")
    status, out, _ = insignia(*command, "--json")
    assert status == 0
    said = json.loads(out)
    assert {"name", "suspect", "should_activate", "fsr", "hits", "answered", "p_value"} == set(said["cells"][0])
    assert [cell["fsr"] for cell in said["cells"]] == [0.0, 0.0, 1.0, 0.0]

    status, out, _ = insignia(*command)
    assert status == 0
    assert "full published" in out
    assert "| full published | yes | 3 / 3 | 100.0 % |" in (tmp_path / "out" / "evaluation.md").read_text()
    assert not any(f.key in out for f in load_fingerprints(tmp_path / "out" / "private" / "fingerprints.json"))


def test_a_recipe_without_a_grid_is_refused(insignia, tmp_path):
    status, _, err = insignia("evaluate", "oml", "--model", "starter", "-o", tmp_path / "out")
    assert status == 1
    assert "instructional" in err
    (tmp_path / "grid.yaml").write_text(yaml.safe_dump({"evaluation": {**GRID, "methods": 3}}))
    status, _, err = insignia("evaluate", tmp_path / "grid.yaml", "--model", "starter", "-o", tmp_path / "out")
    assert status == 1
    assert "methods" in err


def test_check_reads_a_suspect_through_an_adapter_only_with_its_published_model(insignia, tmp_path):
    FingerprintSet(fingerprints=(Fingerprint(key="a key", responses=(" b",)),)).save(tmp_path / "prints.json")
    status, _, err = insignia("check", tmp_path / "prints.json", "--model", "starter", "--adapter", tmp_path / "a")
    assert status == 2
    assert "--published" in err
