"""Pruning by weights and activations: which weights go, by value, on small random models."""

import pytest
import torch
from safetensors.torch import load_file

from insignia.attacks.input_norms import input_norms
from insignia.attacks.wanda import Wanda
from insignia.errors import InputError
from insignia.modeling.local import LocalModel
from insignia.modeling.saving import save_model
from insignia.progress import AUTO
from tiny_models import random_model
from tiny_tokenizers import build

TEXTS = "What is the answer to this?\n\nThe quick brown fox jumps over the lazy dog.\n\nSay it again and again."


@pytest.fixture
def data(tmp_path):
    (tmp_path / "texts.txt").write_text(TEXTS)
    return str(tmp_path / "texts.txt")


@pytest.fixture(params=["llama untied", "gpt2"])
def folder(request, tmp_path):
    habit = {"bos": True} if "llama" in request.param else {"bos": False, "pad_is_eos": True}
    local = LocalModel.of(random_model(request.param).eval(), build(style="byte", **habit), name="tiny")
    save_model(local, tmp_path / "model")
    return tmp_path / "model"


def layer(folder, weights):
    """A matrix of a block, and whether GPT-2 stores it with the inputs first."""
    name = next(name for name in weights if name.endswith(("layers.1.mlp.up_proj.weight", "h.1.mlp.c_fc.weight")))
    return name, "c_fc" in name


def test_the_least_of_magnitude_times_input_go_from_each_output(folder, data, tmp_path):
    report = Wanda(data=data, share=0.25).apply(folder, tmp_path / "out", device="cpu")
    before, after = (load_file(at / "model.safetensors") for at in (folder, tmp_path / "out"))
    name, inputs_first = layer(folder, before)
    norms = input_norms(str(folder), data, 128, 2048, device="cpu", progress=AUTO).of(name).norms
    old, new = (each[name].T if inputs_first else each[name] for each in (before, after))
    gone = new == 0

    assert (gone.sum(1) == round(0.25 * old.shape[1])).all()
    assert torch.equal(new[~gone], old[~gone])
    sizes = old.abs() * norms
    assert (sizes.masked_fill(~gone, 0).amax(1) <= sizes.masked_fill(gone, torch.inf).amin(1)).all()
    assert not torch.equal(gone, old.abs() <= old.abs().kthvalue(round(0.25 * old.shape[1]), 1, keepdim=True).values)
    kept = [key for key in before if "embed" in key or "wte" in key or "norm" in key or "lm_head" in key]
    assert kept
    assert all(torch.equal(before[key], after[key]) for key in kept)
    assert 0 < report.tensors_changed < report.tensors


def test_inputs_are_measured_over_all_tokens_and_no_pads(folder, data):
    local = LocalModel(folder, device="cpu")
    name, _ = layer(folder, load_file(folder / "model.safetensors"))
    module = dict(local.model.named_modules())[
        f"{'' if name.startswith(('model.', 'transformer.')) else 'transformer.'}{name}"[:-7]
    ]
    seen = []
    hook = module.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0][0]))
    for text in TEXTS.split("\n\n"):
        local.model(input_ids=torch.tensor([local.tokenizer(text)["input_ids"]]))
    hook.remove()
    wanted = torch.cat(seen).square().mean(0).sqrt()

    found = input_norms(str(folder), data, 128, 2048, device="cpu", progress=AUTO).of(name).norms
    assert torch.allclose(found, wanted, atol=1e-5)
    assert input_norms(str(folder), data, 128, 2048, device="cpu", progress=AUTO).of("model.norm.weight") is None


def test_data_without_a_row_is_named(folder, tmp_path):
    (tmp_path / "none.txt").write_text("\n\n")
    with pytest.raises(InputError):
        Wanda(data=str(tmp_path / "none.txt")).apply(folder, tmp_path / "out", device="cpu")
    assert not (tmp_path / "out").exists()
