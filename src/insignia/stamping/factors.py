"""The best low-rank approximation of a matrix that is only read a few rows at a time."""

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Factors", "factorise"]

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
    """Squared norm of the approximation."""


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
