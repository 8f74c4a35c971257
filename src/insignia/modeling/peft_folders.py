"""Model folders that hold only a PEFT adapter: it is merged into its base.

Only LoRA adapters in safetensors are read. A configuration that names modules to import (Megatron) is refused.
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
    """Whether a folder holds an adapter without a model."""
    return (Path(folder) / _CONFIG).is_file() and not (Path(folder) / "config.json").exists()


def refuse_adapter_inside(folder: Path) -> None:
    """Raise ModelError if a model folder also holds an adapter. transformers would apply it silently."""
    if (folder / _CONFIG).exists():
        raise ModelError(
            f"{folder} holds both a whole model and an adapter ({_CONFIG}); expected one of them: move the adapter's files "
            "to another folder and give the folder you mean"
        )


def base_name(folder: Path) -> str:
    """The folder or hub id that an adapter's configuration names as its base.

    Raises:
        ModelError: the configuration is damaged, names no base, or is not plain LoRA.
    """
    config = _configuration(folder)
    base = config.get("base_model_name_or_path")
    if not isinstance(base, str) or not base:
        raise ModelError(f"{folder / _CONFIG} has no base_model_name_or_path; set it to the base's folder or hub id")
    return base


def with_adapter(model: PreTrainedModel, folder: Path) -> PreTrainedModel:
    """Merge the adapter into the base model, in place.

    Raises:
        ModelError: the adapter is damaged, not plain LoRA, or does not fit the base.
    """
    _configuration(folder)
    tensors = _tensors(folder)
    config = LoraConfig.from_pretrained(str(folder))
    _refuse_oversized(folder, config, tensors)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about training settings
        wrapped: Any = get_peft_model(model, config)
        found: Any = set_peft_model_state_dict(wrapped, tensors)
        lost = [name for name in found.missing_keys if "lora_" in name or "modules_to_save" in name]
        if odd := [*lost, *found.unexpected_keys]:
            raise ModelError(
                f"the adapter in {folder} does not fit the base: only one of them has {odd[0]}; correct base_model_name_or_path"
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
            f"{folder} holds a PEFT adapter that is not plain LoRA; merge it into its base with PEFT and give the merged folder"
        )
    return value


def _tensors(folder: Path) -> dict[str, Tensor]:
    path = folder / _WEIGHTS
    if not path.is_file():
        raise ModelError(f"{folder} lacks {_WEIGHTS}; save the adapter with safetensors (insignia never reads pickles)")
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelError(f"{path} is not a safetensors file; is it damaged?") from error


def _refuse_oversized(folder: Path, config: LoraConfig, tensors: dict[str, Tensor]) -> None:
    """Refuse a rank larger than the stored weights: PEFT would allocate matrices of that size."""
    largest = max((max(values.shape, default=0) for values in tensors.values()), default=0)
    ranks = [config.r, *(config.rank_pattern or {}).values()]
    if not all(isinstance(rank, int) and 0 < rank <= largest for rank in ranks):
        raise ModelError(f"{folder}: the rank in the adapter's configuration does not fit its weights; is the file damaged?")
