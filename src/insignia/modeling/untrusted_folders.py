"""Checks of an untrusted model folder before transformers loads it, and translation of loading errors."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, PretrainedConfig

from insignia.checkpoints import Checkpoint
from insignia.errors import InputError, InsigniaError, ModelError
from insignia.terminal import command_line

__all__ = ["has_own_code", "loading_errors", "refuse_gguf", "refuse_oversized"]

_LARGEST = 2**31  # any number in a configuration; the longest known context is 2**24
_MOST_PARTS = 1024  # layers or experts; the largest models have 126 layers and 512 experts per layer
_SPARE = 2**28  # elements that a model may have beyond its checkpoint: position tables, masks
_PACKED = 16  # elements packed into one stored number: eight of 4 bits in 32, times two for safety


@contextlib.contextmanager
def loading_errors(source: str | Path, failure: str) -> Iterator[None]:
    """Translate any library error inside the block to a ModelError: ``failure``, the source and the reason's first line."""
    try:
        yield
    except InsigniaError:
        raise
    except Exception as error:  # damaged files raise anything; tokenizers raises Exception itself
        if "trust_remote_code" in str(error):
            reason = "it needs its own code (auto_map), which insignia never runs; expected an architecture of transformers"
        elif isinstance(error, ImportError) and "bitsandbytes" in str(error):
            reason = "it is stored by bitsandbytes; install that with: pip install 'insignia[bnb]', or give the model as it was"
        else:
            reason = " ".join(str(error).split("\n\n")[0].split())[:300] or type(error).__name__
        raise ModelError(f"{failure} {source}: {reason}") from error


def has_own_code(source: str | Path) -> bool:
    """Whether a folder comes with its own Python code for the configuration, model or tokenizer."""
    return any("auto_map" in _settings(Path(source) / name) for name in ("config.json", "tokenizer_config.json"))


def refuse_gguf(path: Path) -> None:
    """Raise InputError for a GGUF file, or a folder with GGUF files only; llama.cpp's server can be verified instead."""
    file = path
    if path.is_dir() and not (path / "config.json").exists():
        file = min(path.glob("*.gguf"), default=path)
    if file.suffix.lower() == ".gguf" and not file.is_dir():
        serve = command_line("llama-server", "-m", file, "--port", 8080)
        ask = command_line("insignia", "verify", "PRINTS", "--endpoint", "http://localhost:8080/v1", "--name", file.stem)
        raise InputError(
            f"{file} is a GGUF model, which can only be asked: start {serve}, then run {ask} (to mark "
            "it, give its folder of safetensors)"
        )


def refuse_oversized(source: str | Path, config: PretrainedConfig) -> None:
    """Raise ModelError if a folder's configuration describes a model far larger than its weights. Hub ids are not checked.

    transformers initializes missing weights, so a few bytes of configuration could fill the memory.
    """
    if not Path(source).is_dir():
        return
    for name, value in _numbers(config.to_dict()):
        parts = any(word in name for word in ("layer", "expert", "block"))
        if abs(value) > (_MOST_PARTS if parts and "size" not in name else _LARGEST):
            raise ModelError(
                f"{source}: the configuration's {name} is {str(value)[:20]}, larger than in any model; is the file damaged?"
            )
    with Checkpoint(Path(source)) as checkpoint:
        stored = sum(entry.numel for entry in checkpoint.entries.values())
    try:
        with torch.device("meta"):
            model: Any = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    except Exception:  # noqa: BLE001  loading raises it again and translates it
        return
    described = sum(tensor.numel() for tensor in (*model.parameters(), *model.buffers()))
    if described > _PACKED * stored + _SPARE:
        raise ModelError(
            f"{source}: the configuration describes {described:.3g} parameters but the files hold {stored:.3g}; "
            "is it the configuration of this model?"
        )


def _numbers(value: Any, name: str = "") -> Iterator[tuple[str, int]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _numbers(item, str(key))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _numbers(item, name)
    elif isinstance(value, int) and not isinstance(value, bool):  # floats set no size
        yield name, value


def _settings(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
