"""A matrix as a product of two thin ones: its best approximation, from a few rows at a time, or factors that are known."""

import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from insignia.checkpoints import LEFT, RIGHT
from insignia.errors import FormatError, InputError
from insignia.modeling.loading import load_tensors

__all__ = ["Factors", "factorise", "load_factors", "measured"]

_OVERSAMPLING = 8
_ITERATIONS = 2  # of subspace iteration; differences of training have slowly falling spectra, which need them


class Factors(NamedTuple):
    """``left @ right`` approximates the matrix."""

    left: Tensor
    """(rows, rank) fp32"""
    right: Tensor
    """(rank, columns) fp32"""
    square: float
    """Squared norm of the matrix."""
    kept: float
    """Squared norm of the matrix, less that of what the product misses."""


def factorise(pieces: Callable[[], Iterator[tuple[int, Tensor]]], rows: int, columns: int, rank: int) -> Factors:
    """Truncated SVD by randomised subspace iteration (Halko, Martinsson and Tropp 2011, algorithm 4.4 and section 5.1).

    ``pieces()`` gives (first row, rows in fp32) over the whole matrix, anew each time it is called; it is called four times.
    Memory: (rows + columns) x (rank + 8) numbers, a few times.
    """
    width = min(rank + _OVERSAMPLING, rows, columns)
    basis = torch.randn(columns, width, generator=torch.Generator().manual_seed(0))
    for _ in range(_ITERATIONS):
        back = torch.zeros(columns, width)
        for _, piece in pieces():  # both products of an iteration in one reading
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
        return Factors(image[:, :rank], basis.T[:rank], square, 0.0)  # for the caller to refuse
    # The matrix is image @ back.T up to what the subspace misses; its SVD needs only that of a small matrix.
    outer, inner = torch.linalg.qr(back)
    u, s, v = torch.linalg.svd(inner.T)
    root = s[:rank].sqrt()
    left = (image @ u[:, :rank]) * root
    right = root[:, None] * (v[:rank] @ outer.T)
    return Factors(left, right, square, float((s[:rank] ** 2).sum()))


def measured(pieces: Callable[[], Iterator[tuple[int, Tensor]]], left: Tensor, right: Tensor) -> Factors:
    """Known factors with what they keep of the matrix; reads it once."""
    square = missed = 0.0
    for first, piece in pieces():
        square += float(piece.flatten() @ piece.flatten())
        rest = torch.addmm(piece, left[first : first + len(piece)], right, alpha=-1).flatten()
        missed += float(rest @ rest)
    return Factors(left, right, square, square - missed)


def load_factors(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[Tensor, Tensor]]:
    """Tensor -> left and right factor in fp32, as method ``lora`` keeps them in its private part.

    ``shapes`` are those of the marked model's tensors.

    Raises:
        InputError: there is no such file, or it belongs to another model.
        FormatError: it is damaged, or holds something else.
    """
    expected = "the private part of method 'lora' (insignia embed --private)"
    tensors = load_tensors(path, expected=expected)
    names = [name.removesuffix(LEFT) for name in tensors if name.endswith(LEFT)]
    pairs = {name: (tensors[name + LEFT], tensors[name + RIGHT]) for name in names if name + RIGHT in tensors}
    if not pairs or 2 * len(pairs) != len(tensors) or not all(map(_fit, pairs.values())):
        raise FormatError(f"{path} holds no factors; expected {expected}")
    for name, (left, right) in pairs.items():
        if (len(left), right.shape[1]) != shapes.get(name):
            raise InputError(f"{path} has factors of {name}, which is not in the base or of another shape")
    return pairs


def _fit(pair: tuple[Tensor, Tensor]) -> bool:
    left, right = pair
    matrices = left.dim() == right.dim() == 2 and left.shape[1] == right.shape[0]
    return matrices and all(values.dtype == torch.float32 and bool(values.isfinite().all()) for values in pair)
