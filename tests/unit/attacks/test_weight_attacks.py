"""Attacks by arithmetic on the weights: what becomes of each value, and of every other file."""

import errno
import json
import os

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from insignia.attacks.base import ATTACKS
from insignia.attacks.drop_layers import DropLayers
from insignia.attacks.merge import Merge
from insignia.attacks.noise import Noise
from insignia.attacks.prune import Prune
from insignia.attacks.rewriting import smallest
from insignia.attacks.round import Round
from insignia.attacks.subtract import Subtract
from insignia.errors import InputError, ModelError, OutputError
from insignia.modeling.local import LocalModel
from insignia.modeling.saving import save_model as save_local
from insignia.vectors import vector
from tiny_checkpoints import moved, same, save_model, tensors_in, weights
from tiny_models import random_model
from tiny_tokenizers import build

MLP = "model.layers.0.mlp.weight"


@pytest.fixture
def folder(tmp_path):
    return save_model(tmp_path / "model", weights())


def changed(before, after):
    return {name for name in before if not torch.equal(before[name], after[name])}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_shards_dtypes_and_other_files_stay_as_they_are(tmp_path, dtype):
    base = weights(dtype=dtype)
    save_model(tmp_path / "model", base, shards=3)
    (tmp_path / "model" / "LICENSE").write_text("free")
    report = Noise(spread=0.1).apply(tmp_path / "model", tmp_path / "out")
    found = tensors_in(tmp_path / "out")

    assert {path.name for path in (tmp_path / "out").iterdir()} == {path.name for path in (tmp_path / "model").iterdir()}
    for name in ("config.json", "model.safetensors.index.json", "LICENSE"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "model" / name).read_bytes()
    assert {name: (values.dtype, values.shape) for name, values in found.items()} == {
        name: (values.dtype, values.shape) for name, values in base.items()
    }
    assert torch.equal(found["model.counts"], base["model.counts"])
    assert changed(base, found) == {name for name in base if "weight" in name}
    assert report.relative_change == pytest.approx(0.1, rel=0.1)


def test_noise_is_relative_to_the_spread_and_repeats_with_its_seed(folder, tmp_path):
    before = tensors_in(folder)[MLP].float()
    for name, seed in (("one", 0), ("again", 0), ("other", 1)):
        Noise(spread=0.25).apply(folder, tmp_path / name, seed=seed)
    one, again, other = (tensors_in(tmp_path / name) for name in ("one", "again", "other"))

    assert same(one, again)
    assert not torch.equal(one[MLP], other[MLP])
    assert float((one[MLP].float() - before).std() / before.std()) == pytest.approx(0.25, rel=0.1)


def test_the_smallest_are_as_many_as_asked_for_among_equals_the_first():
    values = torch.tensor([[3.0, -1.0, 1.0], [0.0, 1.0, -2.0]])

    assert [smallest(values, count).int().tolist() for count in (0, 1, 3, 6)] == [
        [[0, 0, 0], [0, 0, 0]],
        [[0, 0, 0], [1, 0, 0]],
        [[0, 1, 1], [1, 0, 0]],
        [[1, 1, 1], [1, 1, 1]],
    ]


@pytest.mark.parametrize("share", [0, 0.25, 1])
def test_pruning_zeroes_the_smallest_of_each_matrix_and_nothing_else(folder, tmp_path, share):
    before = tensors_in(folder)
    Prune(share=share).apply(folder, tmp_path / "out")
    after = tensors_in(tmp_path / "out")

    assert changed(before, after) <= {MLP, "model.layers.1.mlp.weight"}
    gone = after[MLP] == 0
    assert int(gone.sum()) == round(share * 640)
    if 0 < share < 1:
        assert before[MLP][gone].abs().max() <= before[MLP][~gone].abs().min()
        assert torch.equal(after[MLP][~gone], before[MLP][~gone])


def test_rounding_by_hand():
    values = torch.tensor([[7.0, -3.4, 0.4, 0.6], [0.0, 0.0, 0.0, 1.0]])

    # Groups of 3: scales 1, 0.2, 0 and 1/7; int3 has the levels -3 to 3, of a third of the largest each.
    assert Round(to="int4", group_size=3)._rounded(values) == pytest.approx(
        torch.tensor([[7.0, -3.0, 0.0, 0.6], [0.0, 0.0, 0.0, 1.0]])
    )
    assert Round(to="int3", group_size=4)._rounded(values)[0].tolist() == pytest.approx([7.0, -7 / 3, 0.0, 0.0])
    assert Round(to="nf4", group_size=4)._rounded(values)[0].tolist() == pytest.approx(
        [7.0, -0.5250730514526367 * 7, 0.07958029955625534 * 7, 0.07958029955625534 * 7]
    )


@pytest.mark.parametrize(
    ("to", "levels", "error"), [("int8", 255, 0.004), ("int4", 15, 0.072), ("int3", 7, 0.167), ("nf4", 16, 0.16)]
)
def test_rounding_leaves_a_few_levels_near_the_values(folder, tmp_path, to, levels, error):
    before = tensors_in(folder)
    Round(to=to, group_size=16).apply(folder, tmp_path / "out")
    after = tensors_in(tmp_path / "out")
    largest = before[MLP].float().abs().amax(1, keepdim=True)

    assert changed(before, after) == {MLP, "model.layers.1.mlp.weight"}
    assert max(len(row.unique()) for row in after[MLP]) <= levels
    assert ((after[MLP].float() - before[MLP].float()).abs() <= (error + 0.005) * largest).all()


def test_a_stolen_vector_is_subtracted_at_any_scale(tmp_path):
    base = weights()
    save_model(tmp_path / "base", base)
    save_model(tmp_path / "marked", moved(base))
    vector(tmp_path / "base", tmp_path / "marked", out=tmp_path / "vector")
    for scale in (1.0, 0.5):
        Subtract(vector=tmp_path / "vector", scale=scale).apply(tmp_path / "marked", tmp_path / f"out {scale}")

    assert same(tensors_in(tmp_path / "out 1.0"), base)
    assert 0 < len(changed(base, tensors_in(tmp_path / "out 0.5"))) <= 4


@pytest.mark.parametrize("kind", ["gpt2", "neox", "llama tied", "qwen3"])
def test_attacked_models_of_any_architecture_load_with_their_tied_weights(tmp_path, kind):
    local = LocalModel.of(random_model(kind).eval(), build(style="byte", bos=True), name=kind)
    save_local(local, tmp_path / "model")
    names = set(load_file(tmp_path / "model" / "model.safetensors"))
    for attack in (Noise(), Prune(), Round(), DropLayers()):
        attack.apply(tmp_path / "model", tmp_path / attack.name)
        found = LocalModel(tmp_path / attack.name)
        stored = set(load_file(tmp_path / attack.name / "model.safetensors"))
        tied = found.model.get_output_embeddings().weight is found.model.get_input_embeddings().weight

        assert tied == bool(found.model.config.tie_word_embeddings)
        assert stored == names if attack.name != "drop_layers" else stored < names
        assert found.mean_loss(["The quick brown fox jumps over the lazy dog."]) > 0
    assert found.model.config.num_hidden_layers == 1


def test_dropped_layers_are_the_deepest_but_the_last(tmp_path):
    model = LocalModel("starter", device="cpu")
    DropLayers(count=2).apply("starter", tmp_path / "out")
    found = LocalModel(tmp_path / "out", device="cpu")
    name = "mlp.down_proj.weight"

    def first_weights(local):
        return [layer.get_parameter(name)[0].tolist() for layer in local.model.model.layers]

    before, after = first_weights(model), first_weights(found)
    assert [before.index(each) for each in after] == [0, 1, 2, 5]
    with pytest.raises(InputError, match="has 6 layers"):
        DropLayers(count=6).apply("starter", tmp_path / "none")


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("attack", [Noise(), Prune(), Round(), Merge(base="other")], ids=lambda attack: attack.name)
def test_a_full_disk_or_an_interrupt_leaves_nothing(folder, tmp_path, monkeypatch, error, attack):
    save_model(tmp_path / "other", weights(seed=1))
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())

    def fail(*_arguments):
        raise error

    monkeypatch.setattr(os, "pwrite", fail)
    with pytest.raises(OutputError if isinstance(error, OSError) else KeyboardInterrupt):
        attack.apply(folder, tmp_path / "out")

    assert sorted(tmp_path.iterdir()) == before


def test_what_cannot_be_attacked_is_told(folder, tmp_path):
    before = sorted(tmp_path.iterdir())
    with pytest.raises(OutputError, match="overlaps"):
        Noise().apply(folder, folder)
    with pytest.raises(ModelError, match="contain NaN or a value too large for BF16"):
        Noise(spread=1e39).apply(folder, tmp_path / "out")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"quantization_config": {"bits": 4}}))
    with pytest.raises(ModelError, match="is quantized"):
        Noise().apply(folder, tmp_path / "out")

    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("name", ATTACKS.builtin())
def test_every_attack_is_its_configuration(name):
    values = {"student": "starter", "to": "starter", "reference": "starter", "vector": "v", "prints": "p.json", "data": "x"}
    needed = {field: values[field] for field, info in ATTACKS.get(name).model_fields.items() if info.is_required()}
    attack = ATTACKS.build({"name": name, **needed})

    assert ATTACKS.build(attack.spec()) == attack


@given(st.lists(st.floats(-10, 10, width=16), min_size=1, max_size=40), st.data())
def test_pruned_values_are_never_larger_than_kept_ones(values, data):
    count = data.draw(st.integers(0, len(values)))
    found = torch.tensor(values)
    gone = smallest(found, count)

    assert int(gone.sum()) == count
    if 0 < count < len(values):
        assert found[gone].abs().max() <= found[~gone].abs().min()
