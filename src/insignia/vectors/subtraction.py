"""Subtract the base's tensors from the marked model's, rows at a time, and write what is to be stored."""

import math
from collections.abc import Iterator, Mapping
from typing import TypeAlias

import torch
from blake3 import blake3
from torch import Tensor

from insignia.checkpoints import LEFT, RIGHT, Checkpoint, CheckpointWriter, Entry
from insignia.errors import InputError, ModelError
from insignia.modeling.dtypes import DTYPES
from insignia.vectors.factors import factorise, measure
from insignia.vectors.stored_rows import Scratch, byte_view, digest, matrix_rows, row_spans, spelled

__all__ = ["Subtraction"]

_Factors: TypeAlias = tuple[Tensor, Tensor]


class Subtraction:
    """The differences of two models' tensors, one at a time. Every call takes the base's entry and the marked model's.

    Thread-safe: each thread has buffers of its own.
    """

    def __init__(self, base: Checkpoint, marked: Checkpoint) -> None:
        self._base = base
        self._marked = marked
        self._scratch = Scratch()

    def differ(self, one: Entry, other: Entry) -> bool:
        """Whether the tensors differ. Reading stops at the first difference."""
        if one.dtype == other.dtype:
            step = 2**21
            for start in range(0, one.size, step):
                buffers = [self._scratch.take(side, min(step, one.size - start), torch.uint8) for side in ("base", "marked")]
                self._base.read_into(one, start, byte_view(buffers[0]))
                self._marked.read_into(other, start, byte_view(buffers[1]))
                if not torch.equal(*buffers):
                    if one.dtype not in DTYPES:
                        raise InputError(
                            f"{one.name} differs and is stored as {one.dtype}, which cannot be subtracted; use models that are"
                            " not quantized"
                        )
                    return True
            return False
        return any(bool(difference.any()) for difference in self._rows(one, other))

    def _rows(self, one: Entry, other: Entry) -> Iterator[Tensor]:
        for first, last in row_spans(one):
            yield self._span(one, other, first, last)

    def _span(self, one: Entry, other: Entry, first: int, last: int, digests: Mapping[str, blake3] | None = None) -> Tensor:
        """Difference of rows ``first`` to ``last``, flat fp32; valid until the thread's next call."""
        there = self._scratch.stored("marked", self._marked, other, first, last)
        here = self._scratch.stored("base", self._base, one, first, last)
        if digests is not None:
            digests["marked"].update(byte_view(there))
            digests["base"].update(byte_view(here))
        span = self._scratch.take("span", len(there), torch.float32).copy_(there)
        return span.sub_(self._scratch.take("base fp32", len(here), torch.float32).copy_(here))

    def digests(self, one: Entry, other: Entry, *, changed: bool) -> dict[str, str]:
        """The digests of both tensors, which are the same if they do not differ."""
        base = digest(self._base, one, self._scratch)
        return {"base": base, "marked": digest(self._marked, other, self._scratch) if changed else base}

    def write_whole(self, writer: CheckpointWriter, one: Entry, other: Entry) -> tuple[dict[str, str], float]:
        """Write a whole difference; return the digests of both tensors and its squared norm, in one pass."""
        place = writer.entries[one.name]
        digests = {"base": blake3(), "marked": blake3()}
        square = 0.0
        for first, last in row_spans(one):
            span = self._span(one, other, first, last, digests)
            part = _finite(float(span @ span), one.name)
            square += part
            rounded = self._scratch.take("rounded", len(span), DTYPES[place.dtype]).copy_(span)
            if place.dtype == "F16":
                _finite(float(rounded.sum(dtype=torch.float32)), one.name)
            writer.write(one.name, first * one.columns * place.itemsize, byte_view(rounded))
        return {side: spelled(hashed) for side, hashed in digests.items()}, square

    def write_factors(
        self, writer: CheckpointWriter, one: Entry, other: Entry, *, rank: int, known: _Factors | None
    ) -> tuple[float, float]:
        """Write a difference as two factors, the ``known`` ones if given; return its squared norm and what the factors keep."""

        def rows() -> Iterator[tuple[int, Tensor]]:
            for first, last in row_spans(one):
                yield first, self._span(one, other, first, last).view(-1, one.columns)

        found = measure(rows, *known) if known else factorise(rows, matrix_rows(one), one.columns, rank)
        _finite(found.square, one.name)
        for part, factor in ((one.name + LEFT, found.left), (one.name + RIGHT, found.right)):
            writer.write(part, 0, byte_view(factor.to(DTYPES[writer.entries[part].dtype]).contiguous()))
        return found.square, found.kept


def _finite(value: float, name: str) -> float:
    if not math.isfinite(value):
        raise ModelError(f"the difference of {name} contains NaN or a value too large for its dtype; is a model damaged?")
    return value
