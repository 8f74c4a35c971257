"""The processes of a run that a launcher started: who this one is, and what all of them say."""

from typing import Any, TypeVar

import torch
from accelerate import PartialState

from insignia.modeling.devices import resolve_device

__all__ = ["gather", "process_rank", "processes"]

_T = TypeVar("_T")


def processes(device: str) -> PartialState:
    """Return the processes that ``torchrun`` started, or this one alone. Without an accelerator they share the CPU.

    accelerate by itself would take the processes on a CPU for strangers, each of which trains and writes.
    """
    return PartialState(cpu=resolve_device(device).type == "cpu")


def process_rank() -> tuple[int, int]:
    """(rank of this process, number of processes)."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return 0, 1


def gather(value: _T) -> list[_T]:
    """The values of all processes, in rank order."""
    _, processes = process_rank()
    if processes == 1:
        return [value]
    values: list[Any] = [None] * processes
    torch.distributed.all_gather_object(values, value)
    return values
