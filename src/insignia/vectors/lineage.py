"""Check that a model is derived from the base: the correlation of their weights, layer by layer.

Training moves weights by a small part of their size, so the weights of a derived model correlate with the base almost
perfectly. Independently initialized weights do not correlate. 1,024 weights of each matrix tell them apart: the standard
error of the correlation is about 0.03.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from insignia.checkpoints import Checkpoint, Entry
from insignia.errors import InputError
from insignia.modeling.dtypes import DTYPES
from insignia.vectors.stored_rows import byte_view
from insignia.vectors.threads import in_threads

__all__ = ["DERIVED", "layer_of", "refuse_unrelated", "similarities", "sketch"]

DERIVED = 0.5
"""Lowest similarity of a derived model: far above chance (0.03), far below all derived models measured."""

_BLOCKS, _BLOCK = 16, 64  # evenly spread blocks of elements; fixed by the vector format


def sketch(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """Sample about 1,024 weights of every matrix, in fp32."""
    matrices = [entry for entry in checkpoint.entries.values() if _is_matrix(entry)]
    return _samples(checkpoint, {entry.name: (entry, entry.numel) for entry in matrices})


def similarities(base: Mapping[str, tuple[int, Tensor]], model: Checkpoint, places: Mapping[str, Entry]) -> dict[str, float]:
    """Layer -> mean correlation of its matrices with the base's.

    ``base`` has (number of elements, sketch) for each of the base's matrices, ``places`` the model's tensor of that name.
    A matrix with fewer rows than the base's is compared on its own rows.
    """
    seen: dict[str, list[float]] = defaultdict(list)
    compared = {name: (places[name], base[name][0]) for name in base if name in places and _is_matrix(places[name])}
    for name, here in _samples(model, compared).items():
        seen[layer_of(name)].append(_correlation(base[name][1][: len(here)], here))
    return {layer: sum(found) / len(found) for layer, found in seen.items()}


def refuse_unrelated(layers: Mapping[str, float], model: str, *, unrelated: bool) -> float:
    """Return the lowest similarity; raise an error if the model is not derived from the base.

    Raises:
        InputError: a layer is below ``DERIVED`` and ``unrelated`` is off.
    """
    least = min(layers.values(), default=1.0)
    if least < DERIVED and not unrelated:
        unlike = {layer: value for layer, value in sorted(layers.items(), key=lambda item: item[1]) if value < DERIVED}
        listed = ", ".join(f"{layer} {value:.2f}" for layer, value in list(unlike.items())[:5])
        raise InputError(
            f"{model} is not derived from the base: {len(unlike)} of {len(layers)} layers have a similarity below {DERIVED}"
            f" ({listed}); expected values near 1: give a model derived from the base, or continue with --unrelated, where the"
            " fingerprints may fail and the model may suffer"
        )
    return least


def layer_of(name: str) -> str:
    """``layer 3`` for ``model.layers.3.mlp.up_proj.weight``; outside numbered layers, the tensor's own name."""
    number = re.search(r"\.(\d+)\.", f".{name}")
    return f"layer {number[1]}" if number else name.removesuffix(".weight")


def _is_matrix(entry: Entry) -> bool:
    return len(entry.shape) > 1 and entry.numel > 0 and entry.dtype in DTYPES


def _samples(checkpoint: Checkpoint, matrices: Mapping[str, tuple[Entry, int]]) -> dict[str, Tensor]:
    """``_sample`` of every matrix, several at a time, since a hub answers slowly."""
    found: dict[str, Tensor] = {}

    def read(name: str) -> None:
        found[name] = _sample(checkpoint, *matrices[name])

    in_threads(matrices, read, remote=checkpoint.remote)
    return {name: found[name] for name in matrices}


def _sample(checkpoint: Checkpoint, entry: Entry, numel: int) -> Tensor:
    """Blocks of the matrix at fixed places that depend on ``numel``, as far as it reaches."""
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
    """Pearson correlation; 1 for equal tensors, 0 for different constants."""
    if torch.equal(one, other):
        return 1.0
    one, other = one - one.mean(), other - other.mean()
    norms = float(one.norm() * other.norm())
    return float(one @ other) / norms if norms > 0 else 0.0
