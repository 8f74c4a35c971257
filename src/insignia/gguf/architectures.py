"""What llama.cpp calls the numbers and tensors of a model, and how it wants their rows: one entry an architecture.

Names come from the ``gguf`` library. Which tensors there have to be, and of which shape, is asked of transformers.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import gguf
import numpy
import torch
from numpy.typing import NDArray
from transformers import AutoModelForCausalLM, PretrainedConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from insignia.checkpoints import Checkpoint, Entry
from insignia.errors import ModelError

__all__ = [
    "ARCHITECTURES",
    "Architecture",
    "Arrangement",
    "Placed",
    "architecture_of",
    "place",
    "rope_factors",
    "write_numbers",
]

Arrangement = Callable[[NDArray[Any]], NDArray[Any]]

_SUFFIXES = (".weight", ".bias")
_CONSTANTS = re.compile(r"\.(attn|attention)\.(bias|masked_bias)$|rotary_emb\.inv_freq$")  # old checkpoints store them


class Architecture(NamedTuple):
    """How one of transformers' model types is said in GGUF."""

    arch: gguf.MODEL_ARCH
    computes: Mapping[str, tuple[Any, ...]]
    """Setting -> the values for which llama.cpp computes what transformers computes."""
    arrange: Callable[[str, PretrainedConfig], Arrangement | None]
    """What becomes of the tensor of that name; None: it stays."""
    rms_norm: bool = True


class Placed(NamedTuple):
    """A tensor and its place in the file."""

    name: str
    """In the GGUF file."""
    shape: tuple[int, ...]
    """There; transformers' order of dimensions."""
    entry: Entry
    arrange: Arrangement | None
    """From the entry's values to those of the file; None: they are the same."""


def _interleaved(heads: int) -> Arrangement:
    """Rows of each head from halves, as transformers rotates them, to neighbours, as llama.cpp's Llama does."""

    def arrange(rows: NDArray[Any]) -> NDArray[Any]:
        return rows.reshape(heads, 2, -1, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)

    return arrange


def _llama(name: str, config: PretrainedConfig) -> Arrangement | None:
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    module = name.split(".")[-2]
    return _interleaved(heads[module]) if module in heads else None


def _gpt2(name: str, config: PretrainedConfig) -> Arrangement | None:
    """Its layers multiply from the other side."""
    del config
    return numpy.transpose if name.endswith(("c_attn.weight", "c_proj.weight", "c_fc.weight")) else None


def _gpt_neox(name: str, config: PretrainedConfig) -> Arrangement | None:
    """Query, key and value are stored head by head, and wanted one after the other."""

    def arrange(rows: NDArray[Any]) -> NDArray[Any]:
        return rows.reshape(config.num_attention_heads, 3, -1, *rows.shape[1:]).swapaxes(0, 1).reshape(rows.shape)

    return arrange if ".query_key_value." in name else None


def _as_it_is(name: str, config: PretrainedConfig) -> None:
    del name, config


_SILU = {"hidden_act": ("silu",)}
_GELU = ("gelu", "gelu_new", "gelu_fast", "gelu_pytorch_tanh")  # llama.cpp has one for them all, good to three digits
ARCHITECTURES = {
    "llama": Architecture(gguf.MODEL_ARCH.LLAMA, _SILU, _llama),
    "mistral": Architecture(gguf.MODEL_ARCH.LLAMA, _SILU, _llama),
    "qwen2": Architecture(gguf.MODEL_ARCH.QWEN2, _SILU, _as_it_is),
    "qwen3": Architecture(gguf.MODEL_ARCH.QWEN3, _SILU, _as_it_is),
    "gpt2": Architecture(
        gguf.MODEL_ARCH.GPT2,
        {"activation_function": _GELU, "scale_attn_weights": (True,), "scale_attn_by_inverse_layer_idx": (False,)},
        _gpt2,
        rms_norm=False,
    ),
    "gpt_neox": Architecture(
        gguf.MODEL_ARCH.GPTNEOX, {"hidden_act": _GELU, "tie_word_embeddings": (False,)}, _gpt_neox, rms_norm=False
    ),
}
"""transformers' model type -> how llama.cpp has it."""


def architecture_of(config: PretrainedConfig, folder: Path) -> Architecture:
    """How llama.cpp has a model.

    Raises:
        ModelError: it does not, or computes it otherwise.
    """
    if config.model_type not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise ModelError(f"{folder} is of the architecture {config.model_type}; GGUF files are written of {known}")
    architecture = ARCHITECTURES[config.model_type]
    for setting, values in architecture.computes.items():
        if (value := getattr(config, setting, values[0])) not in values:
            expected = " or ".join(map(repr, values))
            raise ModelError(f"{folder}/config.json: {setting} is {value!r}, but llama.cpp computes {expected} alone")
    kind = (getattr(config, "rope_parameters", None) or {}).get("rope_type", "default")
    scalings = ["default", "linear", *(["llama3"] if architecture.arch is gguf.MODEL_ARCH.LLAMA else [])]
    if kind not in scalings:
        raise ModelError(f"{folder}/config.json: rope_type is {kind!r}, and can be written where it is {' or '.join(scalings)}")
    return architecture


def write_numbers(writer: gguf.GGUFWriter, config: PretrainedConfig, architecture: Architecture) -> None:
    """The settings under llama.cpp's names."""
    window = getattr(config, "sliding_window", None)  # within it attention is whole, as llama.cpp computes it
    writer.add_context_length(min(config.max_position_embeddings, window or config.max_position_embeddings))
    writer.add_block_count(config.num_hidden_layers)
    writer.add_embedding_length(config.hidden_size)
    inner = getattr(config, "intermediate_size", None) or getattr(config, "n_inner", None) or 4 * config.hidden_size
    writer.add_feed_forward_length(inner)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(getattr(config, "num_key_value_heads", config.num_attention_heads))
    if architecture.rms_norm:
        writer.add_layer_norm_rms_eps(config.rms_norm_eps)
        writer.add_key_length(_head_width(config))
        writer.add_value_length(_head_width(config))
    else:
        writer.add_layer_norm_eps(getattr(config, "layer_norm_epsilon", None) or config.layer_norm_eps)
    if config.model_type == "gpt_neox":
        writer.add_parallel_residual(config.use_parallel_residual)
    if rope := getattr(config, "rope_parameters", None):
        writer.add_rope_dimension_count(int(_head_width(config) * rope.get("partial_rotary_factor", 1.0)))
        writer.add_rope_freq_base(rope["rope_theta"])
        if rope["rope_type"] == "linear":
            writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
            writer.add_rope_scaling_factor(rope["factor"])


def rope_factors(config: PretrainedConfig) -> NDArray[numpy.float32] | None:
    """What each frequency of the position encoding is divided by, where Llama 3.1's scaling asks for it."""
    rope = getattr(config, "rope_parameters", None) or {}
    if rope.get("rope_type") != "llama3":
        return None
    width = _head_width(config)
    plain = rope["rope_theta"] ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)
    scaled, _ = ROPE_INIT_FUNCTIONS["llama3"](config, torch.device("cpu"))
    factors: NDArray[numpy.float32] = (plain / scaled).to(torch.float32).numpy()
    return factors


def place(checkpoint: Checkpoint, config: PretrainedConfig, architecture: Architecture) -> list[Placed]:
    """Every tensor that goes into the file.

    Raises:
        ModelError: a tensor is missing, of an unexpected shape, or has no place there.
    """
    names = gguf.get_tensor_name_map(architecture.arch, config.num_hidden_layers)

    def name_in_file(name: str) -> str:
        found = names.get_name(name, _SUFFIXES)
        if found is None:
            raise ModelError(f"{checkpoint.folder}: the tensor {name} has no place in a GGUF file of {config.model_type}")
        return found

    with torch.device("meta"):  # shapes without weights
        model = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    expected = {name_in_file(name): tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    if config.tie_word_embeddings:
        del expected["output.weight"]
    placed = {}
    for entry in checkpoint.entries.values():
        if _CONSTANTS.search(entry.name):
            continue
        name = name_in_file(entry.name)
        if name == "output.weight" and config.tie_word_embeddings:
            continue
        if name not in expected:
            raise ModelError(f"{checkpoint.folder}: {entry.name} is no tensor of a {config.model_type} with these settings")
        if entry.shape != expected[name]:
            raise ModelError(f"{checkpoint.folder}: {entry.name} is of shape {entry.shape}, not {expected[name]}")
        arrange = architecture.arrange(entry.name, config)
        shape = entry.shape[::-1] if arrange is numpy.transpose else entry.shape
        placed[name] = Placed(name, shape, entry, arrange)
    if missing := sorted(expected.keys() - placed.keys()):
        raise ModelError(
            f"{checkpoint.folder} lacks {len(missing)} of its weights ({missing[0]} in llama.cpp's words is the first); "
            "copy the checkpoint again"
        )
    return list(placed.values())


def _head_width(config: PretrainedConfig) -> int:
    return int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)
