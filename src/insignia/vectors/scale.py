"""Find the smallest scale at which a stamped model reaches a success rate, by bisection."""

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from tempfile import TemporaryDirectory

from insignia.errors import EmbeddingError, OutputError
from insignia.fingerprints.sets import FingerprintSet
from insignia.modeling.local import LocalModel
from insignia.progress import AUTO, SILENT, Progress
from insignia.records import Record, checked_share
from insignia.starter import heldout_paragraphs
from insignia.vectors.saved import FingerprintVector
from insignia.vectors.stamping import stamp
from insignia.verification import check

__all__ = ["ScaleTrial", "find_scale", "smallest"]

STEP = 0.05
LARGEST = 2.0  # larger scales harm more than embedding again


class ScaleTrial(Record):
    """The result of stamping at one scale."""

    scale: float
    fsr: float
    heldout_loss: float
    """Loss on held-out text, in nats per token."""


def find_scale(
    model: str | Path,
    *vectors: FingerprintVector | str | Path,
    prints: FingerprintSet,
    heldout: Sequence[str] | None = None,
    min_fsr: float,
    near: Path,
    device: str = "auto",
    unrelated: bool = False,
    progress: Progress = AUTO,
) -> list[ScaleTrial]:
    """Try scales between 0 and ``LARGEST`` in steps of ``STEP``; return the trials by scale.

    Bisection assumes that the success rate grows with the scale, and stamps about seven times. Each stamped model is written
    beside ``near`` and removed.

    Raises:
        EmbeddingError: no scale reaches ``min_fsr``.
        InputError, ModelError, OutputError: as ``stamp``.
    """
    checked_share(min_fsr, "min_fsr")
    texts = heldout or heldout_paragraphs()
    tried: dict[int, ScaleTrial] = {}

    def reached(step: int) -> bool:
        if step not in tried:
            tried[step] = _try(step)
            progress.note(
                f"scale {tried[step].scale:.2f}: success rate {100 * tried[step].fsr:.1f} %, held-out loss"
                f" {tried[step].heldout_loss:.4f} nats per token"
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
            return ScaleTrial(scale=scale, fsr=check(local, prints).fsr, heldout_loss=local.mean_loss(texts))

    last = round(LARGEST / STEP)
    reached(0)
    first = round(1 / STEP) if reached(round(1 / STEP)) else last
    if not reached(first):
        best = max(trial.fsr for trial in tried.values())
        raise EmbeddingError(
            f"no scale up to {LARGEST} reaches a success rate of {min_fsr}; the best was {best:.3f}: do vector, model and"
            " fingerprints belong together?"
        )
    _bisect(reached, 0 if first < last else round(1 / STEP), first)
    return [tried[step] for step in sorted(tried)]


def smallest(trials: Sequence[ScaleTrial], min_fsr: float) -> float:
    """The smallest tried scale that reaches the success rate; NaN if none does."""
    return min((trial.scale for trial in trials if trial.fsr >= min_fsr), default=math.nan)


def _bisect(reached: Callable[[int], bool], low: int, high: int) -> None:
    """Narrow the interval to neighbours: ``high`` reaches the success rate, ``low`` does not."""
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
