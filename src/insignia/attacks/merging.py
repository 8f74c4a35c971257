"""The rules of ``Merge``, tensor by tensor."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from insignia.attacks.base import WeightAttack
from insignia.attacks.rewriting import WeightsReport, chance_of, rewrite, smallest, values_of
from insignia.checkpoints import Entry
from insignia.errors import InputError
from insignia.files import refuse_overlap
from insignia.modeling.dtypes import DTYPES
from insignia.modeling.sources import Source, opened_files
from insignia.progress import Progress
from insignia.vectors.alignment import is_embedding, match_names

__all__ = ["Mix", "blend", "merge", "slerp"]

_PARALLEL = 1e-6  # sine of the angle below which an arc is a line


class Mix(NamedTuple):
    """A rule and its numbers; see the fields of ``Merge``."""

    how: str
    weight: float
    density: float
    factor: float


def merge(
    attack: WeightAttack,
    mix: Mix,
    model: Source,
    *,
    others: Sequence[str],
    base: str | None,
    out: Path,
    seed: int,
    progress: Progress,
) -> WeightsReport:
    """Write the merged model; see ``Merge.apply``. Tensors, dtypes and files are those of ``model``."""
    with ExitStack() as stack:
        partners = [_Partner(each, out, stack) for each in others]
        start = _Partner(base, out, stack) if base is not None and mix.how not in ("linear", "slerp") else None
        checkpoint = stack.enter_context(opened_files(model))
        for partner in filter(None, (*partners, start)):
            partner.align(checkpoint.entries)

        def merged(entry: Entry, values: Tensor) -> Tensor:
            theirs = [partner.values(entry) for partner in partners]
            if mix.how == "slerp":
                return slerp(theirs[0], values, mix.weight)
            return blend(mix, [values, *theirs], start.values(entry) if start else None, chance_of(seed, entry.name))

        return rewrite(model, out, merged, attack=attack, progress=progress)


def blend(mix: Mix, models: Sequence[Tensor], base: Tensor | None, chance: torch.Generator) -> Tensor:
    """One tensor by any rule but slerp; the marked model's comes first. ``base`` is None for rule ``linear`` alone.

    A model of weight 0 is left out, and one alone at weight 1 is not computed with, so that its bits stay.
    """
    rest = (1 - mix.weight) / max(1, len(models) - 1)
    weights = [mix.weight, *[rest] * (len(models) - 1)]
    used = [(weight, values) for weight, values in zip(weights, models, strict=True) if weight]
    trims = mix.how in ("ties", "dare_linear", "dare_ties") and mix.density < 1
    elects = mix.how in ("ties", "dare_ties")
    if base is None or not (trims or elects):
        factor = mix.factor if base is not None else 1.0
        terms = [(factor * weight, values) for weight, values in used]
        left = 1 - sum(part for part, _ in terms)
        return _sum([*terms, (left, base)] if base is not None and abs(left) > 1e-12 else terms)
    if not trims and len(used) == 1 and used[0][0] * mix.factor == 1:
        return used[0][1]
    if not used or mix.factor == 0:
        return base
    steps = [(weight, _trimmed(mix, values - base, chance)) for weight, values in used]
    total = _sum(steps)
    if elects:
        sign = total.sign()
        total = _sum([(weight, step.where(step.sign() == sign, 0.0)) for weight, step in steps])
    return base + mix.factor * total


def slerp(start: Tensor, end: Tensor, share: float) -> Tensor:
    """The point at ``share`` of the arc from ``start`` to ``end``; on the line between them if they are parallel or 0."""
    lengths = start.norm() * end.norm()
    cosine = ((start * end).sum() / lengths).clamp(-1, 1) if lengths > 0 else torch.ones(())
    angle = cosine.arccos()
    if angle.sin() < _PARALLEL or share in (0, 1):
        return _sum([(1 - share, start), (share, end)])
    return _sum([(float(((1 - share) * angle).sin() / angle.sin()), start), (float((share * angle).sin() / angle.sin()), end)])


def _sum(terms: Sequence[tuple[float, Tensor]]) -> Tensor:
    """The sum of factor times values; one alone with factor 1 is itself."""
    kept = [(factor, values) for factor, values in terms if factor]
    if not kept:
        return torch.zeros_like(terms[0][1])
    (factor, values), *others = kept
    total = values if factor == 1 else values * factor
    for factor, values in others:
        total = total + factor * values
    return total


def _trimmed(mix: Mix, step: Tensor, chance: torch.Generator) -> Tensor:
    if mix.how == "ties":
        return step.masked_fill(smallest(step, round((1 - mix.density) * step.numel())), 0.0)
    if mix.density == 1:
        return step
    return step.where(torch.rand(step.shape, generator=chance) < mix.density, 0.0) / mix.density


class _Partner:
    """A model to merge with, and its tensors under the marked model's names."""

    def __init__(self, source: str, out: Path, stack: ExitStack) -> None:
        self._name = source
        self._checkpoint = stack.enter_context(opened_files(source))
        refuse_overlap(out, self._checkpoint.folder)
        self._places: dict[str, Entry] = {}

    def align(self, wanted: Mapping[str, Entry]) -> None:
        """Find the tensors.

        Raises:
            InputError: one is missing or has another shape.
        """
        theirs = self._checkpoint.entries
        tables = [name for name in theirs if is_embedding(name)]
        floating = {name: entry for name, entry in wanted.items() if entry.dtype in DTYPES}
        try:
            names, _ = match_names(floating, theirs, optional=[name for name in wanted if is_embedding(name)])
        except InputError as error:
            raise InputError(f"cannot merge with {self._name}: {error}") from None
        for name, entry in floating.items():
            if name not in names and len(tables) != 1:
                raise InputError(f"cannot merge with {self._name}: it lacks {name}")
            found = theirs[names.get(name) or tables[0]]  # a head that is tied there is its embedding
            if found.shape != entry.shape:
                raise InputError(
                    f"cannot merge with {self._name}: {name} is {list(found.shape)} there and {list(entry.shape)} here; "
                    "expected models of one architecture and vocabulary"
                )
            self._places[name] = found

    def values(self, entry: Entry) -> Tensor:
        """The tensor in this model's place of ``entry``."""
        return values_of(self._checkpoint, self._places[entry.name])
