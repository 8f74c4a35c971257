"""Whether a model comes from the same base: do its weights still resemble the base's, layer by layer?

Training moves weights by a small part of their size, so a derivative's stay correlated with the base's almost perfectly;
weights of two models that were initialised apart are not correlated at all, whatever their shapes. A thousand weights
of each matrix tell the two cases apart: their correlation has a standard error of about 0.03.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from insignia.checkpoints import Checkpoint, Entry
from insignia.errors import InputError
from insignia.vectors.stored_rows import DTYPES, byte_view

__all__ = ["DERIVED", "layer_of", "refuse_unrelated", "similarities", "sketch"]

DERIVED = 0.5
"""Least similarity of a derivative's layers: far above chance (0.03), far below any derivative that we measured."""

_BLOCKS, _BLOCK = 16, 64  # elements are sampled in blocks, evenly spread; fixed by the vector's format


def sketch(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """Name -> some 1,024 weights in fp32, of every matrix; a few kilobytes read of each."""
    return {entry.name: _sample(checkpoint, entry, entry.numel) for entry in checkpoint.entries.values() if _is_matrix(entry)}


def similarities(base: Mapping[str, tuple[int, Tensor]], model: Checkpoint, places: Mapping[str, Entry]) -> dict[str, float]:
    """Layer -> mean correlation of its matrices with the base's.

    ``base`` has (number of elements, sketch) of each of the base's matrices, ``places`` the model's tensor of that name.
    Of a matrix with fewer rows than the base's, the rows that are there are compared.
    """
    seen: dict[str, list[float]] = defaultdict(list)
    for name, (numel, values) in base.items():
        if name in places and _is_matrix(places[name]):
            here = _sample(model, places[name], numel)
            seen[layer_of(name)].append(_correlation(values[: len(here)], here))
    return {layer: sum(found) / len(found) for layer, found in seen.items()}


def refuse_unrelated(layers: Mapping[str, float], model: str, *, unrelated: bool) -> float:
    """The least similarity, unless it says that the model is no derivative.

    Raises:
        InputError: some layer is less similar than ``DERIVED`` and ``unrelated`` is off; the message has the evidence.
    """
    least = min(layers.values(), default=1.0)
    if least < DERIVED and not unrelated:
        unlike = {layer: value for layer, value in sorted(layers.items(), key=lambda item: item[1]) if value < DERIVED}
        listed = ", ".join(f"{layer} {value:.2f}" for layer, value in list(unlike.items())[:5])
        raise InputError(
            f"{model} is not derived from the base: {len(unlike)} of {len(layers)} layers have a similarity below {DERIVED}"
            f" ({listed}), where a derivative's are near 1; give a model made from the base,"
            " or pass --unrelated to go on: the mark may fail there and harm the model"
        )
    return least


def layer_of(name: str) -> str:
    """``layer 3`` of ``model.layers.3.mlp.up_proj.weight``; a tensor outside the numbered layers is its own."""
    number = re.search(r"\.(\d+)\.", f".{name}")
    return f"layer {number[1]}" if number else name.removesuffix(".weight")


def _is_matrix(entry: Entry) -> bool:
    return len(entry.shape) > 1 and entry.numel > 0 and entry.dtype in DTYPES


def _sample(checkpoint: Checkpoint, entry: Entry, numel: int) -> Tensor:
    """Blocks at the same places of every matrix of ``numel`` elements, as far as this one has them."""
    blocks = [_block(checkpoint, entry, start) for start in _starts(numel) if start + _BLOCK <= entry.numel or numel <= _BLOCK]
    return torch.cat(blocks) if blocks else torch.empty(0)


def _starts(numel: int) -> Iterator[int]:
    for number in range(_BLOCKS):
        yield max(0, (2 * number + 1) * numel // (2 * _BLOCKS) - _BLOCK // 2)


def _block(checkpoint: Checkpoint, entry: Entry, start: int) -> Tensor:
    values = torch.empty(min(_BLOCK, entry.numel - start), dtype=DTYPES[entry.dtype])
    checkpoint.read_into(entry, start * entry.itemsize, byte_view(values))
    return values.float()


def _correlation(one: Tensor, other: Tensor) -> float:
    """Pearson's; 1 of equal constants, 0 of what has no variation to compare."""
    if torch.equal(one, other):
        return 1.0
    one, other = one - one.mean(), other - other.mean()
    norms = float(one.norm() * other.norm())
    return float(one @ other) / norms if norms > 0 else 0.0
