"""A folder that holds a LoRA adapter alone is its base with the adapter added; anything unclear is refused in one line."""

import copy
import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from insignia.errors import InputError, ModelError
from insignia.modeling.loading import checkpoint_folder, resolve
from insignia.modeling.local import LocalModel
from insignia.modeling.lora import with_lora
from insignia.starter import model_folder


@pytest.fixture
def adapter(starter, tmp_path):
    """An adapter that changes what the starter says, and what the starter says with it."""
    model = with_lora(copy.deepcopy(starter.model), rank=2, alpha=4)
    torch.manual_seed(0)
    for name, values in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(values, std=0.5)
    model.peft_config["default"].base_model_name_or_path = str(model_folder())
    model.save_pretrained(tmp_path / "adapter")
    return tmp_path / "adapter"


def edit(folder, **changes):
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_an_adapter_is_added_to_the_base_that_it_names(adapter, starter):
    name = "model.layers.0.self_attn.q_proj"
    stored = load_file(adapter / "adapter_model.safetensors")
    down, up = (stored[f"base_model.model.{name}.lora_{part}.weight"] for part in "AB")
    loaded = LocalModel(adapter, device="cpu")
    before, after = (model.model.get_submodule(name).weight for model in (starter, loaded))

    torch.testing.assert_close(after, before + 2 * up @ down)
    assert loaded.tokenizer.get_vocab() == starter.tokenizer.get_vocab()
    assert not any("lora" in part for part, _ in loaded.model.named_modules())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"base_model_name_or_path": None}, "has no base_model_name_or_path"),
        ({"base_model_name_or_path": "./nowhere"}, r"its base './nowhere' cannot be loaded.*base_model_name_or_path"),
        ({"base_model_name_or_path": "owner/nowhere"}, r"its base 'owner/nowhere' cannot be loaded.*HF_HUB_OFFLINE"),
        ({"peft_type": "IA3"}, "not plain LoRA"),
        ({"megatron_config": {"a": 1}, "megatron_core": "antigravity"}, "not plain LoRA"),
        ({"r": 10**9}, "does not fit its weights"),
        ({"r": 3}, "cannot add the PEFT adapter"),
        ({"target_modules": ["q_proj"]}, "does not fit the base"),
    ],
)
def test_an_adapter_that_cannot_be_read_is_refused_in_one_line(adapter, changes, message):
    edit(adapter, **changes)
    with pytest.raises(ModelError, match=message) as caught:
        LocalModel(adapter, device="cpu")
    assert "\n" not in str(caught.value)


def test_an_adapter_that_lacks_weights_is_refused(adapter):
    path = adapter / "adapter_model.safetensors"
    tensors = load_file(path)
    save_file(dict(list(tensors.items())[1:]), path)
    with pytest.raises(ModelError, match="does not fit the base"):
        LocalModel(adapter, device="cpu")
    path.write_bytes(b"\x80\x04cos\nsystem\n")
    with pytest.raises(ModelError, match="is it damaged"):
        LocalModel(adapter, device="cpu")
    path.rename(adapter / "adapter_model.bin")
    with pytest.raises(ModelError, match="never reads pickles"):
        LocalModel(adapter, device="cpu")


def test_an_adapter_of_itself_or_of_an_adapter_is_refused(adapter):
    edit(adapter, base_model_name_or_path=str(adapter))
    with pytest.raises(ModelError, match="cannot be loaded"):
        resolve(adapter)


def test_an_adapter_inside_a_model_is_refused(adapter, tmp_path):
    folder = shutil.copytree(model_folder(), tmp_path / "model")
    for path in adapter.iterdir():
        shutil.copy(path, folder / path.name)
    with pytest.raises(ModelError, match="holds both a whole model and an adapter"):
        resolve(folder)


def test_an_adapter_is_no_checkpoint(adapter):
    with pytest.raises(ModelError, match="expected a whole model"):
        checkpoint_folder(adapter)


def test_a_file_of_llama_cpp_is_told_how_it_is_asked(tmp_path):
    (tmp_path / "m.gguf").touch()
    for source in (tmp_path / "m.gguf", tmp_path, "nowhere/m.gguf"):
        with pytest.raises(InputError, match=r"llama-server -m .*m\.gguf .*--endpoint http.* --name m "):
            resolve(source)
