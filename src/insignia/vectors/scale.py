"""The smallest scale at which a sibling carries the mark well enough: stamp, ask, measure, halve the interval."""

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from tempfile import TemporaryDirectory

from insignia.errors import EmbeddingError, OutputError
from insignia.fingerprints.sets import FingerprintSet
from insignia.modeling.local import LocalModel
from insignia.progress import AUTO, SILENT, Progress
from insignia.records import Record, share
from insignia.vectors.saved import FingerprintVector
from insignia.vectors.stamping import stamp
from insignia.verification import check

__all__ = ["ScaleTrial", "find_scale", "smallest"]

STEP = 0.05
LARGEST = 2.0  # beyond it a vector does more harm than marking anew would


class ScaleTrial(Record):
    """A sibling stamped at one scale."""

    scale: float
    fsr: float
    heldout_loss: float
    """Nats a token; at scale 0 the sibling's own."""


def find_scale(
    model: str | Path,
    *vectors: FingerprintVector | str | Path,
    prints: FingerprintSet,
    heldout: Sequence[str],
    min_fsr: float,
    near: Path,
    device: str = "auto",
    unrelated: bool = False,
    progress: Progress = AUTO,
) -> list[ScaleTrial]:
    """Try scales between 0 and ``LARGEST`` in steps of ``STEP``; the trials by scale.

    The smallest scale that reaches ``min_fsr`` is found by bisection, which takes the success rate to grow with the scale,
    in about seven stampings. Each is written beside ``near`` (the space of one model) and removed.

    Raises:
        EmbeddingError: no scale reaches ``min_fsr``.
        InputError, ModelError, OutputError: as ``stamp``.
    """
    share(min_fsr, "min_fsr")
    tried: dict[int, ScaleTrial] = {}

    def reached(step: int) -> bool:
        if step not in tried:
            tried[step] = _try(step)
            progress.note(
                f"scale {tried[step].scale:.2f}: success rate {100 * tried[step].fsr:.1f} %, held-out loss"
                f" {tried[step].heldout_loss:.4f} nats a token"
            )
        return tried[step].fsr >= min_fsr

    def _try(step: int) -> ScaleTrial:
        scale = round(step * STEP, 2)
        with _folder_beside(near) as folder:
            source: str | Path = model
            if step:
                stamp(
                    model, *vectors, out=(source := Path(folder) / "stamped"), scale=scale, unrelated=unrelated, progress=SILENT
                )
            local = LocalModel(source, device=device)
            return ScaleTrial(scale=scale, fsr=check(local, prints).fsr, heldout_loss=local.mean_loss(heldout))

    last = round(LARGEST / STEP)
    reached(0)
    first = round(1 / STEP) if reached(round(1 / STEP)) else last
    if not reached(first):
        best = max(trial.fsr for trial in tried.values())
        raise EmbeddingError(
            f"no scale up to {LARGEST} reaches a success rate of {min_fsr}; the best was {best:.3f}: is the vector this"
            " model's, and are the fingerprints the vector's?"
        )
    _bisect(reached, 0 if first < last else round(1 / STEP), first)
    return [tried[step] for step in sorted(tried)]


def smallest(trials: Sequence[ScaleTrial], min_fsr: float) -> float:
    """The smallest scale tried that reaches the success rate."""
    return min((trial.scale for trial in trials if trial.fsr >= min_fsr), default=math.nan)


def _bisect(reached: Callable[[int], bool], low: int, high: int) -> None:
    """Ask until neighbours differ: ``low`` is not enough (or nothing), ``high`` is."""
    while high - low > 1:
        middle = (low + high) // 2
        if reached(middle):
            high = middle
        else:
            low = middle


def _folder_beside(path: Path) -> AbstractContextManager[str]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise OutputError(f"cannot write beside {path}: {error.strerror}") from error
