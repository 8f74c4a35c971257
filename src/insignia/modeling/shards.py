"""Weights that may be split over processes (FSDP2, ZeRO), one whole weight at a time."""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor

from insignia.modeling.process_group import process_rank

__all__ = ["each_whole", "is_split", "matching", "summed", "whole"]


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
def each_whole(model: nn.Module, dtype: torch.dtype) -> Iterator[tuple[tuple[str, ...], Tensor]]:
    """The names and values of each weight of a split model, one after another, parameters rounded to ``dtype``.

    A tied weight comes once, with all of its names. Every process iterates to the end; only the first gets the values.
    """
    first = process_rank()[0] == 0
    names: dict[int, list[str]] = {}
    weights: dict[int, Tensor] = {}
    for name, weight in model.state_dict(keep_vars=True).items():
        names.setdefault(id(weight), []).append(name)
        weights[id(weight)] = weight
    for place, weight in weights.items():
        with whole(weight) as values:
            stored = dtype if isinstance(weight, nn.Parameter) else values.dtype
            kept = values.detach().to("cpu", stored, copy=True) if first else torch.empty(0)
        yield tuple(names[place]), kept


def _tell_optimizer(weight: Any, values: Tensor) -> None:
    """DeepSpeed trains copies of the weights and would overwrite a change that it was not told."""
    if weight.requires_grad and (hasattr(weight, "_hp_mapping") or hasattr(weight, "_z3_optimizer")):
        from deepspeed.utils import safe_set_full_fp32_param  # noqa: PLC0415  an extra

        safe_set_full_fp32_param(weight, values.float())
