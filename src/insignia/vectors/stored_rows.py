"""Read rows of stored tensors into buffers that each thread reuses."""

import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import torch
from blake3 import blake3
from torch import Tensor

from insignia.checkpoints import Checkpoint, Entry
from insignia.errors import ModelError
from insignia.modeling.dtypes import DTYPES

__all__ = ["Scratch", "byte_view", "digest", "matrix_rows", "row_spans", "spelled"]

_T = TypeVar("_T")


CHUNK = (
    2**21
)  # elements per read. Smaller pieces fit the cache better, but threads then wait for the interpreter (docs/lab-log.md)


def matrix_rows(entry: Entry) -> int:
    """Rows of the tensor as a matrix: the product of all dimensions but the last."""
    return entry.numel // entry.columns if entry.numel else 0


def row_spans(entry: Entry) -> Iterator[tuple[int, int]]:
    """Yield (first row, row after the last) of pieces of about ``CHUNK`` elements."""
    rows, step = matrix_rows(entry), max(1, CHUNK // max(1, entry.columns))
    for first in range(0, rows, step):
        yield first, min(first + step, rows)


def byte_view(tensor: Tensor) -> memoryview:
    """The bytes of a contiguous tensor."""
    return tensor.view(torch.uint8).numpy().data


class Scratch(threading.local):
    """Named buffers of the current thread, which grow as needed."""

    def __init__(self) -> None:
        self._buffers: dict[str, Tensor] = {}
        self._kept: dict[object, tuple[str, Any]] = {}

    def kept(self, owner: object, name: str, make: Callable[[], _T]) -> _T:
        """What ``make`` returned for this name; of each owner, only the last name is cached."""
        if owner not in self._kept or self._kept[owner][0] != name:
            self._kept[owner] = (name, make())
        found: _T = self._kept[owner][1]
        return found

    def take(self, name: str, count: int, dtype: torch.dtype) -> Tensor:
        """An uninitialized buffer (count,); valid until the name is taken again."""
        size = count * dtype.itemsize
        kept = self._buffers.get(name)
        if kept is None or len(kept) < size:
            kept = self._buffers[name] = torch.empty(size, dtype=torch.uint8)
        return kept[:size].view(dtype)

    def stored(self, name: str, checkpoint: Checkpoint, entry: Entry, first: int, last: int) -> Tensor:
        """Rows ``first`` to ``last`` of a tensor in its stored dtype, flat."""
        values = self.take(name, (last - first) * entry.columns, _dtype(checkpoint, entry))
        checkpoint.read_into(entry, first * entry.columns * entry.itemsize, byte_view(values))
        return values

    def fp32(self, name: str, checkpoint: Checkpoint, entry: Entry, first: int, last: int) -> Tensor:
        """The same in fp32, flat."""
        stored = self.stored(f"{name} stored", checkpoint, entry, first, last)
        return stored if stored.dtype == torch.float32 else self.take(name, len(stored), torch.float32).copy_(stored)


def digest(checkpoint: Checkpoint, entry: Entry, scratch: Scratch) -> str:
    """BLAKE3 digest of a tensor's bytes."""
    hashed = blake3()
    step = 2**21
    for start in range(0, entry.size, step):
        buffer = byte_view(scratch.take("digest", min(step, entry.size - start), torch.uint8))
        checkpoint.read_into(entry, start, buffer)
        hashed.update(buffer)
    return spelled(hashed)


def spelled(hashed: blake3) -> str:
    """The text form of a digest."""
    return f"blake3:{hashed.hexdigest()}"


def _dtype(checkpoint: Checkpoint, entry: Entry) -> torch.dtype:
    if (dtype := DTYPES.get(entry.dtype)) is None:
        raise ModelError(
            f"{checkpoint.folder}: {entry.name} is stored as {entry.dtype}, which cannot be added to or subtracted from; "
            "use the model from before quantization"
        )
    return dtype
