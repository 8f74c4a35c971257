"""Map settings and tensors of a model to llama.cpp's, by architecture.

Names come from the ``gguf`` library, the expected tensors and shapes from transformers.
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
from insignia.terminal import counted

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
_CONSTANTS = re.compile(r"\.(attn|attention)\.(bias|masked_bias)$|rotary_emb\.inv_freq$")  # stored in old checkpoints


class Architecture(NamedTuple):
    """How llama.cpp stores one of transformers' model types."""

    arch: gguf.MODEL_ARCH
    computes: Mapping[str, tuple[Any, ...]]
    """Setting -> values for which llama.cpp computes the same as transformers."""
    arrange: Callable[[str, PretrainedConfig], Arrangement | None]
    """The change to apply to the tensor of that name, or None."""
    rms_norm: bool = True


class Placed(NamedTuple):
    """A tensor of the file."""

    name: str
    """Name in the GGUF file."""
    shape: tuple[int, ...]
    """Shape in the file, in transformers' order of dimensions."""
    entry: Entry
    arrange: Arrangement | None
    """The change to apply to the entry's values, or None."""


def _interleaved(heads: int) -> Arrangement:
    """Interleave the two halves of each head: transformers rotates halves, llama.cpp's Llama rotates neighbours."""

    def arrange(rows: NDArray[Any]) -> NDArray[Any]:
        return rows.reshape(heads, 2, -1, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)

    return arrange


def _llama(name: str, config: PretrainedConfig) -> Arrangement | None:
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    module = name.split(".")[-2]
    return _interleaved(heads[module]) if module in heads else None


def _gpt2(name: str, _config: PretrainedConfig) -> Arrangement | None:
    """Transpose the weights of its Conv1D layers."""
    return numpy.transpose if name.endswith(("c_attn.weight", "c_proj.weight", "c_fc.weight")) else None


def _gpt_neox(name: str, config: PretrainedConfig) -> Arrangement | None:
    """Group query, key and value, which are stored head by head."""

    def arrange(rows: NDArray[Any]) -> NDArray[Any]:
        return rows.reshape(config.num_attention_heads, 3, -1, *rows.shape[1:]).swapaxes(0, 1).reshape(rows.shape)

    return arrange if ".query_key_value." in name else None


def _unchanged(_name: str, _config: PretrainedConfig) -> None:
    return None


_SILU = {"hidden_act": ("silu",)}
_GELU = ("gelu", "gelu_new", "gelu_fast", "gelu_pytorch_tanh")  # llama.cpp has one for all, equal to three digits
ARCHITECTURES = {
    "llama": Architecture(gguf.MODEL_ARCH.LLAMA, _SILU, _llama),
    "mistral": Architecture(gguf.MODEL_ARCH.LLAMA, _SILU, _llama),
    "qwen2": Architecture(gguf.MODEL_ARCH.QWEN2, _SILU, _unchanged),
    "qwen3": Architecture(gguf.MODEL_ARCH.QWEN3, _SILU, _unchanged),
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
"""transformers' model type -> architecture in llama.cpp."""


def architecture_of(config: PretrainedConfig, folder: Path) -> Architecture:
    """The architecture of a model in llama.cpp.

    Raises:
        ModelError: it is not supported, or llama.cpp would compute it differently.
    """
    if config.model_type not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise ModelError(f"{folder} has the architecture {config.model_type}; expected one of {known}")
    architecture = ARCHITECTURES[config.model_type]
    for setting, values in architecture.computes.items():
        if (value := getattr(config, setting, values[0])) not in values:
            expected = " or ".join(map(repr, values))
            raise ModelError(f"{folder}/config.json: {setting} is {value!r}, but llama.cpp supports only {expected}")
    kind = (getattr(config, "rope_parameters", None) or {}).get("rope_type", "default")
    scalings = ["default", "linear", *(["llama3"] if architecture.arch is gguf.MODEL_ARCH.LLAMA else [])]
    if kind not in scalings:
        raise ModelError(f"{folder}/config.json: rope_type is {kind!r}; expected {' or '.join(scalings)}")
    return architecture


def write_numbers(writer: gguf.GGUFWriter, config: PretrainedConfig, architecture: Architecture) -> None:
    """Write the model's settings."""
    window = getattr(config, "sliding_window", None)  # llama.cpp computes full attention, which is the same within the window
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
    """Divisors of the RoPE frequencies for Llama 3.1's scaling, else None."""
    rope = getattr(config, "rope_parameters", None) or {}
    if rope.get("rope_type") != "llama3":
        return None
    width = _head_width(config)
    plain = rope["rope_theta"] ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)
    scaled, _ = ROPE_INIT_FUNCTIONS["llama3"](config, torch.device("cpu"))
    factors: NDArray[numpy.float32] = (plain / scaled).to(torch.float32).numpy()
    return factors


def place(checkpoint: Checkpoint, config: PretrainedConfig, architecture: Architecture) -> list[Placed]:
    """List all tensors of the file.

    Raises:
        ModelError: a tensor is missing, unexpected or of another shape.
    """
    names = gguf.get_tensor_name_map(architecture.arch, config.num_hidden_layers)

    def name_in_file(name: str) -> str:
        found = names.get_name(name, _SUFFIXES)
        if found is None:
            raise ModelError(f"{checkpoint.folder}: a GGUF file of {config.model_type} has no tensor for {name}")
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
            raise ModelError(f"{checkpoint.folder}: a {config.model_type} with these settings has no tensor {entry.name}")
        if entry.shape != expected[name]:
            raise ModelError(f"{checkpoint.folder}: {entry.name} has the shape {entry.shape}; expected {expected[name]}")
        arrange = architecture.arrange(entry.name, config)
        shape = entry.shape[::-1] if arrange is numpy.transpose else entry.shape
        placed[name] = Placed(name, shape, entry, arrange)
    if missing := sorted(expected.keys() - placed.keys()):
        raise ModelError(
            f"{checkpoint.folder} lacks {counted(len(missing), 'tensor')} (the first is {missing[0]} in llama.cpp);"
            " copy it again"
        )
    return list(placed.values())


def _head_width(config: PretrainedConfig) -> int:
    return int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)
