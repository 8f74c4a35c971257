"""The rules of ``Merge``, tensor by tensor."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import torch
from torch import Tensor

from insignia.attacks.merge import Merge
from insignia.attacks.rewriting import WeightsReport, chance_of, rewrite, smallest, values_of
from insignia.checkpoints import Checkpoint, Entry
from insignia.errors import InputError
from insignia.files import refuse_overlap
from insignia.modeling.sources import Source, model_files
from insignia.progress import Progress
from insignia.vectors.alignment import is_embedding, match_names
from insignia.vectors.stored_rows import DTYPES

__all__ = ["blend", "merge", "slerp"]

_PARALLEL = 1e-6  # sine of the angle below which an arc is a line


def merge(attack: Merge, model: Source, others: Sequence[str], out: Path, *, seed: int, progress: Progress) -> WeightsReport:
    """Write the merged model; see ``Merge.apply``. Tensors, dtypes and files are those of ``model``."""
    with ExitStack() as stack:
        partners = [_Partner(each, out, stack) for each in others]
        base = _Partner(attack.base, out, stack) if attack.base is not None and attack.how not in ("linear", "slerp") else None
        checkpoint = stack.enter_context(Checkpoint(stack.enter_context(model_files(model))))
        for partner in filter(None, (*partners, base)):
            partner.align(checkpoint.entries)

        def merged(entry: Entry, values: Tensor) -> Tensor:
            theirs = [partner.values(entry) for partner in partners]
            if attack.how == "slerp":
                return slerp(theirs[0], values, attack.weight)
            start = base.values(entry) if base is not None else None
            return blend(attack, [values, *theirs], start, chance_of(seed, entry.name))

        return rewrite(model, out, merged, attack=attack, progress=progress)


def blend(attack: Merge, models: Sequence[Tensor], base: Tensor | None, chance: torch.Generator) -> Tensor:
    """One tensor by any rule but slerp; the marked model's comes first. ``base`` is None for rule ``linear`` alone.

    A model of weight 0 is left out, and one alone at weight 1 is not computed with, so that its bits stay.
    """
    rest = (1 - attack.weight) / max(1, len(models) - 1)
    weights = [attack.weight, *[rest] * (len(models) - 1)]
    used = [(weight, values) for weight, values in zip(weights, models, strict=True) if weight]
    trims = attack.how in ("ties", "dare_linear", "dare_ties") and attack.density < 1
    elects = attack.how in ("ties", "dare_ties")
    if base is None or not (trims or elects):
        scale = attack.scale if base is not None else 1.0
        terms = [(scale * weight, values) for weight, values in used]
        left = 1 - sum(factor for factor, _ in terms)
        return _sum([*terms, (left, base)] if base is not None and abs(left) > 1e-12 else terms)
    if not trims and len(used) == 1 and used[0][0] * attack.scale == 1:
        return used[0][1]
    if not used or attack.scale == 0:
        return base
    steps = [(weight, _trimmed(attack, values - base, chance)) for weight, values in used]
    total = _sum(steps)
    if elects:
        sign = total.sign()
        total = _sum([(weight, step.where(step.sign() == sign, 0.0)) for weight, step in steps])
    return base + attack.scale * total


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


def _trimmed(attack: Merge, step: Tensor, chance: torch.Generator) -> Tensor:
    if attack.how == "ties":
        return step.masked_fill(smallest(step, round((1 - attack.density) * step.numel())), 0.0)
    if attack.density == 1:
        return step
    return step.where(torch.rand(step.shape, generator=chance) < attack.density, 0.0) / attack.density


class _Partner:
    """A model to merge with, and its tensors under the marked model's names."""

    def __init__(self, source: str, out: Path, stack: ExitStack) -> None:
        self._name = source
        folder = stack.enter_context(model_files(source))
        refuse_overlap(out, folder)
        self._checkpoint = stack.enter_context(Checkpoint(folder))
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
                    f"cannot merge with {self._name}: {name} is {list(found.shape)} there and {list(entry.shape)} here; expected"
                    " models of one architecture and vocabulary"
                )
            self._places[name] = found

    def values(self, entry: Entry) -> Tensor:
        """The tensor in this model's place of ``entry``."""
        return values_of(self._checkpoint, self._places[entry.name])
