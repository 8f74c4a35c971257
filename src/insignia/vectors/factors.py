"""Low-rank factors of a matrix: a truncated SVD from a few rows at a time, or known factors."""

import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import safe_open
from torch import Tensor

from insignia.checkpoints import LEFT, RIGHT
from insignia.errors import FormatError, InputError
from insignia.modeling.loading import load_tensors

__all__ = ["Factors", "blocks_of", "factorise", "load_factors", "measure"]

_OVERSAMPLING = 8
_ITERATIONS = 2  # of subspace iteration; the spectra of trained differences fall slowly and need them


class Factors(NamedTuple):
    """``left @ right`` approximates the matrix."""

    left: Tensor
    """(rows, rank) fp32"""
    right: Tensor
    """(rank, columns) fp32"""
    square: float
    """Squared norm of the matrix."""
    kept: float
    """Squared norm of the matrix, minus that of the approximation error."""


def factorise(pieces: Callable[[], Iterator[tuple[int, Tensor]]], rows: int, columns: int, rank: int) -> Factors:
    """Truncated SVD by randomized subspace iteration (Halko, Martinsson and Tropp 2011, algorithm 4.4 and section 5.1).

    ``pieces()`` yields (first row, rows in fp32) over the whole matrix; it is called four times.
    Memory: a few times (rows + columns) x (rank + 8) fp32 numbers.
    """
    width = min(rank + _OVERSAMPLING, rows, columns)
    basis = torch.randn(columns, width, generator=torch.Generator().manual_seed(0))
    for _ in range(_ITERATIONS):
        back = torch.zeros(columns, width)
        for _, piece in pieces():  # both products of an iteration in one pass
            back.addmm_(piece.T, piece @ basis)
        basis = torch.linalg.qr(back).Q
    image = torch.empty(rows, width)
    square = 0.0
    for first, piece in pieces():
        torch.mm(piece, basis, out=image[first : first + len(piece)])
        square += float(piece.flatten() @ piece.flatten())
    image = torch.linalg.qr(image).Q
    back = torch.zeros(columns, width)
    for first, piece in pieces():
        back.addmm_(piece.T, image[first : first + len(piece)])
    if not math.isfinite(square):
        return Factors(image[:, :rank], basis.T[:rank], square, 0.0)  # the caller raises an error
    # The matrix is about image @ back.T; its SVD follows from that of a small matrix.
    outer, inner = torch.linalg.qr(back)
    u, s, v = torch.linalg.svd(inner.T)
    root = s[:rank].sqrt()
    left = (image @ u[:, :rank]) * root
    right = root[:, None] * (v[:rank] @ outer.T)
    return Factors(left, right, square, float((s[:rank] ** 2).sum()))


def measure(pieces: Callable[[], Iterator[tuple[int, Tensor]]], left: Tensor, right: Tensor) -> Factors:
    """Measure how much of the matrix known factors keep, in one pass."""
    square = missed = 0.0
    for first, piece in pieces():
        square += float(piece.flatten() @ piece.flatten())
        rest = torch.addmm(piece, left[first : first + len(piece)], right, alpha=-1).flatten()
        missed += float(rest @ rest)
    return Factors(left, right, square, square - missed)


def blocks_of(path: Path) -> int | None:
    """Number of blocks in a file of owner weights that ``load_factors`` reads; None if they are one whole."""
    with safe_open(path, "pt") as file:
        found = (file.metadata() or {}).get("blocks", "")
    return int(found) if found.isdecimal() else None


def load_factors(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[Tensor, Tensor]]:
    """Read the owner weights of method ``lora`` or ``blocks``: tensor name -> (left factor, right factor) in fp32.

    ``shapes`` are the shapes of the marked model's tensors.

    Raises:
        InputError: there is no such file, or it belongs to another model.
        FormatError: it is damaged or holds something else.
    """
    expected = "the owner weights of method 'lora' or 'blocks' (insignia embed --private)"
    tensors = load_tensors(path, expected=expected)
    names = [name.removesuffix(LEFT) for name in tensors if name.endswith(LEFT)]
    pairs = {name: (tensors[name + LEFT], tensors[name + RIGHT]) for name in names if name + RIGHT in tensors}
    if not pairs or 2 * len(pairs) != len(tensors) or not all(map(_fit, pairs.values())):
        raise FormatError(f"{path} has no factors; expected {expected}")
    for name, (left, right) in pairs.items():
        if (len(left), right.shape[1]) != shapes.get(name):
            raise InputError(
                f"{path} has factors of {name}, which the marked model lacks or has in another shape; give its own file"
            )
    return pairs


def _fit(pair: tuple[Tensor, Tensor]) -> bool:
    left, right = pair
    matrices = left.dim() == right.dim() == 2 and left.shape[1] == right.shape[0]
    return matrices and all(values.dtype == torch.float32 and bool(values.isfinite().all()) for values in pair)
