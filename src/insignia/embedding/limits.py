"""Limits on success and harm of a finished run, and the number of fingerprints to suggest when they fail."""

import math
from typing import Annotated

from pydantic import ConfigDict, Field

from insignia.errors import EmbeddingError
from insignia.records import Record, Share
from insignia.terminal import counted

__all__ = [
    "MAX_HARM",
    "MIN_FSR",
    "Limits",
    "refuse_failure",
    "refuse_harm",
    "refuse_published",
    "within_harm",
    "within_success",
]

MIN_FSR = 0.95  # the bundled recipes reach 0.98 or more
MAX_HARM = 1.05
"""Default limit on the perplexity ratio. With default settings, 16 to 1,024 fingerprints cost x1.005 to x1.037 on all models
measured (docs/lab-log.md)."""


class Limits(Record):
    """Limits that the marked model must keep, or nothing is written."""

    model_config = ConfigDict(title="Training")

    min_fsr: Share = MIN_FSR
    """Fail if the model answers fewer of the fingerprints than this share, with the owner's weights if the method has some."""
    max_harm: Annotated[float, Field(gt=0)] = MAX_HARM
    """Fail if the perplexity rises by more than this factor, on held-out text, or on the model's own text if the default
    held-out text is of another kind."""
    max_published_fsr: Share = 0.0
    """Fail if the published model alone answers more than this share, if the method has owner weights."""


def refuse_failure(fsr: float, min_fsr: float, *, num_fingerprints: int, steps: int) -> None:
    """Raise EmbeddingError if too few fingerprints were learned."""
    if fsr < min_fsr:
        few = _fewer(within_success(num_fingerprints, fsr)) if fsr else "Nothing was learned: raise --learning-rate"
        raise EmbeddingError(
            f"the success rate is {100 * fsr:.1f} % of {num_fingerprints} fingerprints, less than {100 * min_fsr:.1f} %;"
            f" nothing was written. {few}, allow more --epochs (this took {counted(steps, 'step')}), weaken the regularizers,"
            " or lower --min-fsr"
        )


def refuse_harm(harm: float, max_harm: float, *, num_fingerprints: int) -> None:
    """Raise EmbeddingError if the perplexity rose too much or is NaN."""
    if not harm <= max_harm:
        raise EmbeddingError(
            f"embedding raised the perplexity x{harm:.3f}, more than --max-harm {max_harm:g}; nothing was written."
            f" {_fewer(within_harm(num_fingerprints, harm, max_harm))}, or raise --reference-strength or --max-harm"
        )


def refuse_published(fsr: float, max_fsr: float) -> None:
    """Raise EmbeddingError if the published model gives responses without the owner weights."""
    if fsr > max_fsr:
        raise EmbeddingError(
            f"the published model without the owner weights answers {100 * fsr:.1f} % of the fingerprints; nothing was written."
            " Raise --reference-strength"
        )


def within_harm(count: int, harm: float, limit: float) -> int:
    """Estimate how many fingerprints cost at most ``limit`` if ``count`` cost ``harm``.

    Log-perplexity grows with the count to a power between 1/2 and 1 (docs/lab-log.md); 1/2 gives a safe estimate.
    """
    if limit <= 1 or not limit < harm < math.inf:
        return 0
    return min(count - 1, math.floor(count * (math.log(limit) / math.log(harm)) ** 2))


def within_success(count: int, fsr: float) -> int:
    """Estimate how many fingerprints a model can learn if it learned a share ``fsr`` of ``count``.

    The estimate is the same share of the learned ones: a model of 0.28 million parameters learned 14 of 16 and 20 of 32,
    which both give 12 (docs/lab-log.md).
    """
    return min(count - 1, math.floor(count * fsr**2))


def _fewer(count: int) -> str:
    if count < 1:
        return "This model is too small for one fingerprint: use a larger model"
    return f"This model has room for about {count}: use --num-fingerprints {count}"
