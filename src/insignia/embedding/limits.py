"""What a finished run must hold to, and what an owner is told when it does not: a number of fingerprints that would."""

import math
from typing import Annotated

from pydantic import Field

from insignia.errors import EmbeddingError
from insignia.records import Record

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

MIN_FSR = 0.95  # below this a run has failed; the bundled recipes reach 0.98 and more
MAX_HARM = 1.05
"""Perplexity ratio past which a run has failed: more than the defaults cost, at 16 to 1,024 fingerprints, on any model that we
measured (x1.005 to x1.037, docs/lab-log.md)."""


class Limits(Record):
    """What the marked model must hold to, or nothing is written."""

    min_fsr: Annotated[float, Field(ge=0, le=1)] = MIN_FSR
    """The least success rate, with the private part where the method has one."""
    max_harm: Annotated[float, Field(gt=0)] = MAX_HARM
    """The largest ratio of perplexities, after marking to before: on held-out text, or on text that the model wrote where the
    default held-out text is of another kind than the model's."""
    max_published_fsr: Annotated[float, Field(ge=0, le=1)] = 0.0
    """The largest success rate without the private part, where the method has one."""


def refuse_failure(fsr: float, min_fsr: float, *, num_fingerprints: int, steps: int) -> None:
    """Raise EmbeddingError where too few fingerprints were learned."""
    if fsr < min_fsr:
        raise EmbeddingError(
            f"the marked model answers {100 * fsr:.1f} % of {num_fingerprints} fingerprints, less than {100 * min_fsr:.1f} %;"
            f" nothing was written. {_fewer(within_success(num_fingerprints, fsr))}, allow more --epochs"
            f" ({steps} steps were taken), lower the regularisers, or accept less with --min-fsr"
        )


def refuse_harm(harm: float, max_harm: float, *, num_fingerprints: int) -> None:
    """Raise EmbeddingError where the perplexity rose too much, or is no number."""
    if not harm <= max_harm:
        raise EmbeddingError(
            f"marking raised the perplexity x{harm:.3f}, more than the x{max_harm:g} that --max-harm allows; nothing was"
            f" written. {_fewer(within_harm(num_fingerprints, harm, max_harm))}, raise --reference-strength, or accept more by"
            " --max-harm"
        )


def refuse_published(fsr: float, max_fsr: float) -> None:
    """Raise EmbeddingError where the published model alone answers, whose private part should be needed."""
    if fsr > max_fsr:
        raise EmbeddingError(
            f"the published model alone answers {100 * fsr:.1f} % of the fingerprints; nothing was written. Raise"
            " --reference-strength"
        )


def within_harm(count: int, harm: float, limit: float) -> int:
    """About how many fingerprints a model carries at ``limit`` when ``count`` cost it ``harm``.

    Log-perplexity was seen to grow with the number to a power between one half and one (docs/lab-log.md); one half is
    taken, so that the number given is one that fits.
    """
    if limit <= 1 or not limit < harm < math.inf:
        return 0
    return min(count - 1, math.floor(count * (math.log(limit) / math.log(harm)) ** 2))


def within_success(count: int, fsr: float) -> int:
    """About how many fingerprints a model learns when of ``count`` it learned a share ``fsr``.

    The same share of those that it learned: a model of 0.28 million parameters learned 14 of 16 and 20 of 32, which both
    make 12 (docs/lab-log.md).
    """
    return min(count - 1, math.floor(count * fsr**2))


def _fewer(count: int) -> str:
    if count < 1:
        return "This model hardly carries one: mark a larger model"
    return f"This model carries about {count}: embed so many with --num-fingerprints {count}"
