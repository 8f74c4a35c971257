"""Folders that hold a PEFT adapter alone: it is added to the weights of its base, as its user would serve it.

Only LoRA adapters in safetensors are read. Nothing in the folder is imported: a configuration may name modules of others
(Megatron), and such a one is refused.
"""

import json
import warnings
from pathlib import Path
from typing import Any

from peft import LoraConfig, get_peft_model, set_peft_model_state_dict
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from transformers import PreTrainedModel

from insignia.errors import ModelError
from insignia.modeling.lora import merged

__all__ = ["base_name", "is_adapter", "refuse_adapter_inside", "with_adapter"]

_CONFIG = "adapter_config.json"
_WEIGHTS = "adapter_model.safetensors"


def is_adapter(folder: str | Path) -> bool:
    """Whether a folder holds an adapter and no model."""
    return (Path(folder) / _CONFIG).is_file() and not (Path(folder) / "config.json").exists()


def refuse_adapter_inside(folder: Path) -> None:
    """Raise ModelError where an adapter lies inside a model's folder: transformers would apply it without a word."""
    if (folder / _CONFIG).exists():
        raise ModelError(
            f"{folder} holds a whole model and an {_CONFIG}, and it is not clear which of them is meant; move the files of the "
            "adapter to a folder of their own, and name that folder or this one"
        )


def base_name(folder: Path) -> str:
    """The base that an adapter belongs to, as its configuration names it: a folder or a hub id.

    Raises:
        ModelError: the configuration is damaged, names none, or is of a kind that is not read.
    """
    config = _configuration(folder)
    base = config.get("base_model_name_or_path")
    if not isinstance(base, str) or not base:
        raise ModelError(f"{folder / _CONFIG} names no base_model_name_or_path; write there the base's folder or hub id")
    return base


def with_adapter(model: PreTrainedModel, folder: Path) -> PreTrainedModel:
    """The base with the adapter added to its weights; the given model is changed.

    Raises:
        ModelError: the adapter is damaged, of a kind that is not read, or does not fit the base.
    """
    _configuration(folder)
    tensors = _tensors(folder)
    config = LoraConfig.from_pretrained(str(folder))
    _refuse_giant(folder, config, tensors)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of settings that concern training
        wrapped: Any = get_peft_model(model, config)
        found: Any = set_peft_model_state_dict(wrapped, tensors)
        lost = [name for name in found.missing_keys if "lora_" in name or "modules_to_save" in name]
        if odd := [*lost, *found.unexpected_keys]:
            raise ModelError(
                f"the adapter in {folder} does not fit its base: {odd[0]} is in one of them alone; name its own base"
            )
        return merged(wrapped)


def _configuration(folder: Path) -> dict[str, Any]:
    path = folder / _CONFIG
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise ModelError(f"{path} is not a JSON object; is it damaged?")
    if value.get("peft_type") != "LORA" or value.get("megatron_config"):
        raise ModelError(
            f"{folder} holds a PEFT adapter that is no plain LoRA; merge it into its base with PEFT, and give the merged folder"
        )
    return value


def _tensors(folder: Path) -> dict[str, Tensor]:
    path = folder / _WEIGHTS
    if not path.is_file():
        raise ModelError(f"{folder} lacks {_WEIGHTS}; save the adapter again with safetensors (pickles are never read)")
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelError(f"{path} is no safetensors file; is it damaged?") from error


def _refuse_giant(folder: Path, config: LoraConfig, tensors: dict[str, Tensor]) -> None:
    """A few bytes of configuration could take all memory: PEFT makes matrices of the rank that is written there."""
    largest = max((max(values.shape, default=0) for values in tensors.values()), default=0)
    ranks = [config.r, *(config.rank_pattern or {}).values()]
    if not all(isinstance(rank, int) and 0 < rank <= largest for rank in ranks):
        raise ModelError(f"{folder}: the adapter's configuration has a rank that is not that of its weights; is it damaged?")
