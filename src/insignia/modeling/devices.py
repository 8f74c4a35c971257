"""The devices that a model runs on: one of them, or all for a model that is larger than any."""

from typing import Any

import torch
from transformers import PreTrainedModel

from insignia.errors import InputError

__all__ = ["ALL", "input_device", "resolve_device", "spread"]

ALL = "all"
"""The name for a model that is spread: over the accelerators, then the memory of the host, then the checkpoint's own files."""

_MOST: dict[int | str, int] | None = None  # bytes of each device; None: what is free


def resolve_device(device: str) -> torch.device:
    """The device of that name; ``auto`` is the first accelerator that torch finds, else the CPU.

    Raises:
        InputError: torch does not know the device or cannot use it, or it is ``all``, which is not one.
    """
    if device == "auto":
        return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
    if device == ALL:
        raise InputError(
            "--device all is for a model that is only asked; what changes a model takes one device, or several by torchrun"
        )
    try:
        place = torch.device(device)
        torch.empty(1, device=place)
    except (RuntimeError, AssertionError, NotImplementedError) as error:  # builds without CUDA assert
        reason = str(error).strip().split("\n")[0]
        raise InputError(f"cannot use device {device!r}: {reason}; expected auto, cpu, cuda, cuda:1, ...") from error
    return place


def spread() -> dict[str, Any]:
    """Arguments of ``from_pretrained`` that spread a model; accelerate moves what it computes from device to device."""
    return {"device_map": "auto", "max_memory": _MOST}


def input_device(model: PreTrainedModel) -> torch.device:
    """Where a model takes its token ids. Weights of one that is spread may be on disk until they are used."""
    hook: Any = getattr(model, "_hf_hook", None)
    place = getattr(hook, "execution_device", None)
    return model.device if place is None else torch.device(place)
