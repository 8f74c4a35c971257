"""Quantization by libraries: the values are those that the files of these libraries stand for."""

import sys

import numpy
import pytest
import torch
from safetensors.torch import load_file

from insignia.attacks.quantize import Quantize
from insignia.errors import MissingExtraError
from insignia.modeling.local import LocalModel
from insignia.modeling.saving import save_model
from tiny_models import random_model
from tiny_tokenizers import build

PROJECTION = "model.layers.0.mlp.gate_proj.weight"


def saved(folder, kind):
    save_model(LocalModel.of(random_model(kind).eval(), build(style="byte", bos=True), name=kind), folder)
    return folder


@pytest.mark.parametrize("kind", ["gpt2", "llama tied", "llama untied"])
@pytest.mark.parametrize("to", ["q8_0", "q4_0", "q5_1"])
def test_the_values_are_those_of_the_gguf_file(tmp_path, kind, to):
    gguf = pytest.importorskip("gguf")
    from insignia.gguf import export_gguf

    model = saved(tmp_path / "model", kind)
    Quantize(outtype=to).apply(model, tmp_path / "out")
    export_gguf(model, tmp_path / "file.gguf", outtype=to)
    reader = gguf.GGUFReader(tmp_path / "file.gguf")
    theirs = [
        gguf.dequantize(each.data, each.tensor_type).ravel() for each in reader.tensors if each.name != "rope_freqs.weight"
    ]
    ours = [values.float().numpy().ravel() for values in load_file(tmp_path / "out" / "model.safetensors").values()]

    # Files for llama.cpp have other names and other orders of rows.
    assert numpy.allclose(numpy.sort(numpy.concatenate(ours)), numpy.sort(numpy.concatenate(theirs)), atol=1e-6)
    assert LocalModel(tmp_path / "out", device="cpu").mean_loss(["The quick brown fox jumps."]) > 0


@pytest.mark.parametrize(("to", "levels", "error"), [("int8", 255, 0.006), ("nf4", 16, 0.16), ("fp4", 16, 0.19)])
def test_the_values_are_those_of_bitsandbytes(tmp_path, to, levels, error):
    pytest.importorskip("bitsandbytes")
    model = saved(tmp_path / "model", "llama untied")
    Quantize(outtype=to).apply(model, tmp_path / "out")
    before, after = (load_file(folder / "model.safetensors") for folder in (model, tmp_path / "out"))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    largest = before[PROJECTION].abs().max()

    assert changed == {name for name in before if "proj" in name}
    assert max(len(block.unique()) for block in after[PROJECTION].view(-1, 32)) <= levels
    assert (after[PROJECTION] - before[PROJECTION]).abs().max() <= error * largest


def test_a_missing_library_names_its_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    monkeypatch.setitem(sys.modules, "bitsandbytes.functional", None)
    with pytest.raises(MissingExtraError, match="bnb"):
        Quantize(outtype="nf4").apply(saved(tmp_path / "model", "llama tied"), tmp_path / "out")

    assert not (tmp_path / "out").exists()
