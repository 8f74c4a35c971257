import json

import gguf
import numpy
import pytest
import torch
from safetensors.torch import load_file, save_file

from insignia.errors import InputError, ModelError, OutputError
from insignia.gguf import OUTTYPES, convert, export_gguf
from insignia.starter import model_folder
from tiny_models import random_model
from tiny_tokenizers import build

Type = gguf.GGMLQuantizationType


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A Llama of two layers; the rows of one of its matrices, of 48, fill no blocks of 32."""
    folder = tmp_path_factory.mktemp("tiny")
    model = random_model("llama tied")
    model.config.intermediate_size = 48
    type(model)(model.config).to(torch.bfloat16).save_pretrained(folder)
    build(style="byte", bos=True).save_pretrained(folder)
    return folder


def changed(tiny, folder, change):
    """A copy with other tensors."""
    folder.mkdir()
    for path in tiny.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def tensors_in(path):
    return {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}


def values(tensor):
    return gguf.dequantize(tensor.data, tensor.tensor_type)


def test_the_starters_file_has_its_weights_bit_for_bit(tmp_path):
    report = export_gguf("starter", tmp_path / "starter.gguf")
    stored = load_file(model_folder() / "model.safetensors")
    found = tensors_in(tmp_path / "starter.gguf")

    assert (report.architecture, report.outtype, report.pre_tokenizer, report.notes) == ("llama", "bf16", "gpt-2", ())
    assert report.tensors == len(found) == len(stored)
    assert report.bytes == sum(tensor.n_bytes for tensor in found.values())
    down, named = found["blk.3.ffn_down.weight"], stored["model.layers.3.mlp.down_proj.weight"]
    assert down.tensor_type == Type.BF16
    assert down.data.tobytes() == named.view(torch.uint8).numpy().tobytes()
    norm, named = found["output_norm.weight"], stored["model.norm.weight"]
    assert norm.tensor_type == Type.F32
    assert norm.data.tolist() == named.tolist()


def test_the_starters_file_says_what_the_model_is(tmp_path):
    export_gguf("starter", tmp_path / "starter.gguf")
    fields = gguf.GGUFReader(tmp_path / "starter.gguf").fields
    expected = {
        "general.architecture": "llama",
        "general.file_type": gguf.LlamaFileType.MOSTLY_BF16,
        "llama.block_count": 6,
        "llama.context_length": 512,
        "llama.embedding_length": 256,
        "llama.feed_forward_length": 512,
        "llama.attention.head_count": 4,
        "llama.attention.head_count_kv": 2,
        "llama.attention.key_length": 64,
        "llama.rope.dimension_count": 64,
        "llama.rope.freq_base": 10000.0,
        "llama.vocab_size": 4096,
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.add_bos_token": True,
    }

    assert {name: fields[name].contents() for name in expected} == expected
    assert not any("insignia" in name for name in fields), "a marked model's file does not say who marked it"


@pytest.mark.parametrize(("outtype", "error"), list(zip(OUTTYPES, [0, 1e-3, 4e-3, 0.01, 0.05, 0.05, 0.1, 0.1], strict=True)))
def test_an_outtype_costs_its_precision_and_no_more(tiny, tmp_path, outtype, error):
    report = export_gguf(tiny, tmp_path / "tiny.gguf", outtype=outtype)
    found = tensors_in(tmp_path / "tiny.gguf")
    wanted = load_file(tiny / "model.safetensors")["model.layers.1.mlp.gate_proj.weight"].float().numpy()
    gate = found["blk.1.ffn_gate.weight"]

    assert report.outtype == outtype
    assert gate.tensor_type == OUTTYPES[outtype]
    assert numpy.linalg.norm(values(gate) - wanted) <= error * numpy.linalg.norm(wanted)
    assert found["blk.1.ffn_norm.weight"].tensor_type == Type.F32
    rounded = outtype.startswith("q")
    assert found["token_embd.weight"].tensor_type == (Type.Q8_0 if rounded else OUTTYPES[outtype])
    assert found["blk.1.ffn_down.weight"].tensor_type == (Type.F16 if rounded else OUTTYPES[outtype]), "rows of 48"


@pytest.mark.parametrize("outtype", ["auto", "q8_0"])
def test_the_size_of_the_pieces_changes_nothing(tiny, tmp_path, monkeypatch, outtype):
    export_gguf(tiny, tmp_path / "whole.gguf", outtype=outtype)
    monkeypatch.setattr(convert, "_PIECE", 100)
    export_gguf(tiny, tmp_path / "pieces.gguf", outtype=outtype)

    assert (tmp_path / "whole.gguf").read_bytes() == (tmp_path / "pieces.gguf").read_bytes()


def test_a_tied_head_is_not_written_though_it_is_stored(tiny, tmp_path):
    def tie(tensors):
        tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()

    export_gguf(changed(tiny, tmp_path / "tied", tie), tmp_path / "tied.gguf")

    assert "output.weight" not in tensors_in(tmp_path / "tied.gguf")


def test_what_is_stored_in_two_types_is_written_in_the_one_that_holds_both(tiny, tmp_path):
    def widen(tensors):
        tensors["model.embed_tokens.weight"] = tensors["model.embed_tokens.weight"].half()

    assert export_gguf(changed(tiny, tmp_path / "mixed", widen), tmp_path / "mixed.gguf").outtype == "f32"


def lose(tensors):
    del tensors["model.layers.1.mlp.up_proj.weight"]


def shorten(tensors):
    tensors["model.layers.1.mlp.up_proj.weight"] = tensors["model.layers.1.mlp.up_proj.weight"][:-1].clone()


def add(tensors):
    tensors["model.layers.1.mlp.router.weight"] = torch.zeros(2, 2)


def quantise(tensors):
    name = "model.layers.1.mlp.up_proj.weight"
    tensors[name] = tensors[name].to(torch.int8)


def spoil(tensors):
    tensors["model.layers.1.mlp.up_proj.weight"][3, 3] = torch.nan


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lose, r"lacks 1 tensor \(the first is blk.1.ffn_up.weight"),
        (shorten, r"up_proj.weight has the shape \(47, 32\); expected \(48, 32\)"),
        (add, "has no tensor .*router.weight"),
        (quantise, "up_proj.weight is stored as I8"),
        (spoil, "up_proj.weight contains NaN"),
    ],
)
def test_a_damaged_checkpoint_leaves_no_file(tiny, tmp_path, change, message):
    damaged = changed(tiny, tmp_path / "damaged", change)
    with pytest.raises(ModelError, match=message):
        export_gguf(damaged, tmp_path / "out.gguf")

    assert [path.name for path in tmp_path.iterdir()] == ["damaged"]


def test_a_number_too_large_for_the_type_is_refused(tiny, tmp_path):
    def enlarge(tensors):
        tensors["model.layers.1.mlp.up_proj.weight"][3, 3] = 1e6

    large = changed(tiny, tmp_path / "large", enlarge)
    export_gguf(large, tmp_path / "large.gguf")
    with pytest.raises(ModelError, match="too large for f16"):
        export_gguf(large, tmp_path / "half.gguf", outtype="f16")


def test_an_existing_file_is_kept_unless_forced(tiny, tmp_path):
    out = tmp_path / "out.gguf"
    out.write_text("mine")
    with pytest.raises(OutputError, match="--force"):
        export_gguf(tiny, out)
    assert out.read_text() == "mine"

    export_gguf(tiny, out, force=True)
    assert out.read_bytes().startswith(b"GGUF")
    assert out.stat().st_mode & 0o044, "a server must be able to read a model"


def test_an_unknown_outtype_names_the_known(tmp_path):
    with pytest.raises(InputError, match=r"'q4_k_m'; expected auto, f32, .*q4_0"):
        export_gguf("starter", tmp_path / "out.gguf", outtype="q4_k_m")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model_type": "bloom"}, "architecture bloom; expected one of llama, mistral, .*gpt_neox"),
        ({"num_attention_heads": 5}, "not a multiple of the number of attention heads"),
        ({"hidden_act": "relu"}, "hidden_act is 'relu', but llama.cpp supports only 'silu'"),
        ({"rope_parameters": {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}}, "rope_type is 'dynamic'"),
    ],
)
def test_a_model_that_llama_cpp_would_not_compute_is_refused(tiny, tmp_path, settings, message):
    folder = changed(tiny, tmp_path / "other", lambda _tensors: None)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | settings))
    with pytest.raises(ModelError, match=message):
        export_gguf(folder, tmp_path / "out.gguf")
