"""The processes of a run that a launcher started: who this one is, and what all of them say."""

from typing import Any, TypeVar

import torch

__all__ = ["gather", "process_rank"]

_T = TypeVar("_T")


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
