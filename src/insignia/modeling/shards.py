"""Weights that may be split over processes (FSDP2, ZeRO), one whole weight at a time."""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor

__all__ = ["gathered_state", "is_split", "matching", "summed", "whole"]


def is_split(model: nn.Module) -> bool:
    """Whether this process holds only a part of some weight."""
    return any(isinstance(weight, DTensor) or hasattr(weight, "ds_id") for weight in model.parameters())


@contextlib.contextmanager
def whole(weight: Tensor, *, change: bool = False) -> Iterator[Tensor]:
    """The whole values of a weight within the block; with ``change``, what the block makes of them stays.

    Every process enters the block, and changes the values alike.
    """
    given: Any = weight
    if isinstance(given, DTensor):
        values = _full(given.detach())
        yield values
        if change:
            with torch.no_grad():
                given.copy_(matching(values, given))
    elif hasattr(given, "ds_id"):  # ZeRO stage 3
        import deepspeed  # noqa: PLC0415  an extra

        with deepspeed.zero.GatheredParameters([given], modifier_rank=0 if change else None):
            yield given.data
            if change:
                _tell_optimizer(given, given.data)
    else:
        yield given.data
        if change:
            _tell_optimizer(given, given.data)


def matching(values: Tensor, like: Tensor) -> Tensor:
    """Whole values, which every process has, split as ``like`` is."""
    if not isinstance(like, DTensor):
        return values
    return distribute_tensor(values, like.device_mesh, like.placements, src_data_rank=None)


def _full(split: Any) -> Tensor:
    full: Tensor = split.full_tensor()
    return full


def summed(values: Tensor) -> Tensor:
    """The sum of all values, of which this process may hold a part."""
    total = values.sum()
    return _full(total) if isinstance(total, DTensor) else total


@torch.no_grad()
def gathered_state(model: nn.Module, dtype: torch.dtype) -> dict[str, Tensor]:
    """All weights of a split model in the first process's memory, parameters rounded to ``dtype``; nothing in the others.

    Every process calls this. No device holds more than one whole weight at a time.
    """
    first = not torch.distributed.is_initialized() or torch.distributed.get_rank() == 0
    state: dict[str, Tensor] = {}
    kept: dict[int, Tensor] = {}  # a tied weight once
    for name, weight in model.state_dict(keep_vars=True).items():
        if id(weight) not in kept:
            with whole(weight) as values:
                stored = dtype if isinstance(weight, nn.Parameter) else values.dtype
                kept[id(weight)] = values.detach().to("cpu", stored, copy=True) if first else torch.empty(0)
        if first:
            state[name] = kept[id(weight)]
    return state


def _tell_optimizer(weight: Any, values: Tensor) -> None:
    """DeepSpeed trains copies of the weights and would overwrite a change that it was not told."""
    if weight.requires_grad and (hasattr(weight, "_hp_mapping") or hasattr(weight, "_z3_optimizer")):
        from deepspeed.utils import safe_set_full_fp32_param  # noqa: PLC0415  an extra

        safe_set_full_fp32_param(weight, values.float())
