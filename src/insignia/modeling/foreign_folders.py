"""Model folders of others: what is looked at before transformers reads one, and what becomes of its errors."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, PretrainedConfig

from insignia.checkpoints import Checkpoint
from insignia.errors import InputError, InsigniaError, ModelError

__all__ = ["brings_code", "reading", "refuse_gguf", "refuse_giant"]

_LARGEST = 2**31  # of any number in a configuration; the longest context that is claimed has 2**24 positions
_MOST_PARTS = 1024  # layers or experts; the largest models have 126 layers and 512 experts in one
_TEXTS_PER_CANDIDATE = 2**28  # numbers that a model may have beyond its checkpoint's: tables of positions, masks
_PACKED = 16  # numbers of a weight that is stored in one: eight of four bits in 32, and as many again for safety


@contextlib.contextmanager
def reading(source: str | Path, failure: str) -> Iterator[None]:
    """Any error of the libraries as a ModelError: ``failure``, the source and the first line of the reason."""
    try:
        yield
    except InsigniaError:
        raise
    except Exception as error:  # a damaged file makes them raise anything, tokenizers the base class itself
        if "trust_remote_code" in str(error):
            reason = "its own code is needed (auto_map), and code of a model folder never runs here; expected an architecture "
            reason += "that transformers knows"
        else:
            reason = " ".join(str(error).split("\n\n")[0].split())[:300] or type(error).__name__
        raise ModelError(f"{failure} {source}: {reason}") from error


def brings_code(source: str | Path) -> bool:
    """Whether a folder names Python code of its own for its configuration, model or tokenizer."""
    return any("auto_map" in _settings(Path(source) / name) for name in ("config.json", "tokenizer_config.json"))


def refuse_gguf(path: Path) -> None:
    """Raise InputError where a file of llama.cpp is named, or a folder that holds no other model: it is asked by its server."""
    file = path
    if path.is_dir() and not (path / "config.json").exists():
        file = min(path.glob("*.gguf"), default=path)
    if file.suffix.lower() == ".gguf" and not file.is_dir():
        raise InputError(
            f"{file} is a model for llama.cpp; start 'llama-server -m {file} --port 8080', then ask it with "
            f"'insignia verify PRINTS --endpoint http://localhost:8080/v1 --name {file.stem}'"
        )


def refuse_giant(source: str | Path, config: PretrainedConfig) -> None:
    """Raise ModelError where a folder describes a model that is far larger than its weights; a hub id is not looked at.

    transformers makes up what a checkpoint lacks, so that a few bytes of configuration could take all memory.
    """
    if not Path(source).is_dir():
        return
    for name, value in _numbers(config.to_dict()):
        parts = any(word in name for word in ("layer", "expert", "block"))
        if abs(value) > (_MOST_PARTS if parts and "size" not in name else _LARGEST):
            raise ModelError(
                f"{source}: the configuration's {name} is {str(value)[:20]}, more than any model has; is it damaged?"
            )
    with Checkpoint(Path(source)) as checkpoint:
        stored = sum(entry.numel for entry in checkpoint.entries.values())
    try:
        with torch.device("meta"):
            model: Any = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    except Exception:  # noqa: BLE001  whatever it is, loading says it again, with its reason
        return
    described = sum(tensor.numel() for tensor in (*model.parameters(), *model.buffers()))
    if described > _PACKED * stored + _TEXTS_PER_CANDIDATE:
        raise ModelError(
            f"{source} describes a model of {described:.3g} numbers, and its files hold {stored:.3g}; "
            "is the configuration its own?"
        )


def _numbers(value: Any, name: str = "") -> Iterator[tuple[str, int]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _numbers(item, str(key))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _numbers(item, name)
    elif isinstance(value, int) and not isinstance(value, bool):  # a float sizes nothing
        yield name, value


def _settings(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
