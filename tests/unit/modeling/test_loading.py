import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from insignia.errors import InputError, ModelError
from insignia.modeling.devices import resolve_device
from insignia.modeling.families import FAMILIES, hub_id
from insignia.modeling.loading import checkpoint_dtype, dtype_named, resolve
from insignia.modeling.local import LocalModel
from insignia.suspects.scoring import Example


@pytest.fixture
def folder(starter, tmp_path):
    return shutil.copytree(starter.source, tmp_path / "model")


def change_weights(folder, change):
    weights = load_file(folder / "model.safetensors")
    save_file(change(weights), folder / "model.safetensors", metadata={"format": "pt"})


def test_a_saved_model_answers_as_it_did_in_memory(random_local, tmp_path):
    random_local.model.save_pretrained(tmp_path, max_shard_size="60KB")
    random_local.tokenizer.save_pretrained(tmp_path)
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    examples = [Example((5, 6, 7, 8), 2), Example((9, 10, 11), 1)]

    assert LocalModel(tmp_path, device="cpu").score(examples) == random_local.score(examples)


def test_weights_that_are_not_there_are_an_error_and_not_made_up(folder):
    name = "model.layers.3.input_layernorm.weight"
    change_weights(folder, lambda weights: {key: value for key, value in weights.items() if key != name})

    with pytest.raises(ModelError, match=rf"lacks weights .*1 tensor, the first is {name}"):
        LocalModel(folder, device="cpu")


def test_weights_of_another_shape_are_an_error(folder):
    name = "model.norm.weight"
    change_weights(folder, lambda weights: {**weights, name: weights[name][:-1].clone()})

    with pytest.raises(ModelError, match="cannot load a causal language model"):
        LocalModel(folder, device="cpu")


@pytest.mark.parametrize("random_local", ["neox", "llama untied"], indirect=True)
def test_a_checkpoint_without_a_language_model_head_is_refused(random_local, tmp_path):
    random_local.model.base_model.save_pretrained(tmp_path)
    random_local.tokenizer.save_pretrained(tmp_path)

    with pytest.raises(ModelError, match="lacks weights"):
        LocalModel(tmp_path, device="cpu")


@pytest.mark.parametrize("random_local", ["gpt2", "llama tied"], indirect=True)
def test_a_tied_head_needs_no_weights_of_its_own(random_local, tmp_path):
    random_local.model.base_model.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"architectures": None}))
    random_local.tokenizer.save_pretrained(tmp_path)
    examples = [Example((5, 6, 7, 8), 2)]

    assert LocalModel(tmp_path, device="cpu").score(examples) == random_local.score(examples)


def test_a_model_folder_without_a_tokenizer_is_a_model_error(folder):
    for path in folder.glob("*token*"):
        path.unlink()

    with pytest.raises(ModelError, match="no tokenizer that transformers can load"):
        LocalModel(folder, device="cpu")


def test_an_empty_weights_file_is_damaged(folder):
    (folder / "model.safetensors").write_bytes(b"")

    with pytest.raises(ModelError, match="damaged or truncated"):
        LocalModel(folder, device="cpu")


def test_an_index_that_is_no_object_is_a_model_error(folder):
    (folder / "model.safetensors.index.json").write_text("[]")

    with pytest.raises(ModelError, match="expected a JSON object"):
        LocalModel(folder, device="cpu")


def test_an_unknown_architecture_is_a_model_error(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "nothing_known"}))

    with pytest.raises(ModelError, match=r"cannot load the tokenizer|cannot read the configuration"):
        LocalModel(folder, device="cpu")


def test_a_hub_id_that_cannot_be_had_is_a_model_error():
    assert resolve("owner/name") == "owner/name"
    with pytest.raises(ModelError, match="owner/name"):
        LocalModel("owner/name", device="cpu")


def test_a_file_is_no_model_folder(folder):
    with pytest.raises(InputError, match="no model folder"):
        resolve(str(folder / "config.json"))


def test_the_starter_is_found_by_name_but_a_folder_of_that_name_wins(starter, folder, monkeypatch, tmp_path):
    assert resolve("starter") == starter.source
    folder.rename(tmp_path / "starter")
    monkeypatch.chdir(tmp_path)

    assert resolve("starter") == "starter"


@pytest.mark.parametrize("device", ["gpu", "cuda:-3", "", "cpu:zero"])
def test_a_device_that_torch_does_not_know_is_an_input_error(device):
    with pytest.raises(InputError, match="auto, cpu, cuda"):
        resolve_device(device)


def test_a_device_that_is_not_there_is_an_input_error():
    with pytest.raises(InputError, match="cannot use device 'cuda:63'"):
        resolve_device("cuda:63")


def test_the_processor_is_always_there():
    assert resolve_device("cpu") == torch.device("cpu")
    assert isinstance(resolve_device("auto"), torch.device)


def test_an_unknown_dtype_is_an_input_error():
    with pytest.raises(InputError, match=r"unknown dtype 'int3'\. .*Expected auto, checkpoint, float32"):
        LocalModel("starter", device="cpu", dtype="int3")


def test_a_checkpoint_computes_in_the_precision_asked_for(starter):
    assert checkpoint_dtype(starter.source) == torch.bfloat16
    assert starter.model.dtype == torch.float32
    assert LocalModel("starter", device="cpu", dtype="bfloat16").model.dtype == torch.bfloat16
    named = {name: dtype_named(name, starter.source, torch.device("cpu")) for name in ("auto", "checkpoint", "fp32", "fp16")}
    assert named == {"auto": torch.float32, "checkpoint": torch.bfloat16, "fp32": torch.float32, "fp16": torch.float16}
    assert dtype_named("bf16", starter.source, torch.device("cpu")) == torch.bfloat16


@pytest.mark.parametrize(("name", "nearest"), [("bloat16", "bfloat16"), ("BF16", "bf16"), ("float31", "float32")])
def test_a_misspelt_dtype_gets_a_suggestion(starter, name, nearest):
    with pytest.raises(InputError, match=f"unknown dtype '{name}'. Did you mean '{nearest}'"):
        dtype_named(name, starter.source, torch.device("cpu"))


def test_short_names_become_hub_ids():
    assert hub_id("mistral", "7B") == "mistralai/Mistral-7B-v0.3"
    assert hub_id("gemma", "2B") == "google/gemma-2-2b"
    assert all(resolve(hub_id(family, "1B")).count("/") == 1 for family in FAMILIES)
    with pytest.raises(InputError, match="unknown model family"):
        hub_id("lama", "1B")
