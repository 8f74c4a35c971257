"""Two models on the same questions: how much the scores changed, and whether that is at most a bound.

A score is from 0 to 1, and the change of a question from -1 to 1. Changes of one question count together: what both models get
right says nothing of a difference between them.
"""

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Literal, NamedTuple, Self

from insignia.errors import InputError
from insignia.records import checked_share
from insignia.statistics.tails import log_binomial_tail

__all__ = ["Change", "Finding", "Interval", "bootstrap", "mcnemar"]

Finding = Literal["harmless", "harmful", "undecided"]
"""Whether the harm is at most the bound, above it, or not known at this number of questions."""

_NORMAL = NormalDist()
_RESAMPLES = 10_000
_CELLS = 2**22  # of an array of resamples: 32 MiB


class Interval(NamedTuple):
    """A confidence interval."""

    low: float
    high: float


class Change(NamedTuple):
    """Mean change of a score, and what it is known to.

    The interval is that of Bonett and Price (J. Educ. Behav. Stat. 37, 2012): Wald's after a pair that gained 1 and one that
    lost 1 were added. So it keeps a width where no pair differs, and 0 of 700 is no proof of no change.
    """

    mean: float
    centre: float
    """Middle of the interval: the mean with the two added pairs."""
    error: float
    """Standard error."""

    @classmethod
    def of(cls, changes: Sequence[float]) -> Self:
        """The change of one task, from those of its questions.

        Raises:
            InputError: there is no question, or a change is outside [-1, 1].
        """
        if not changes or not all(-1 <= change <= 1 for change in changes):
            raise InputError("expected one change from -1 to 1 for each question, and at least one question")
        total, count = math.fsum(changes), len(changes) + 2
        centre = total / count
        variance = (math.fsum(change * change for change in changes) + 2) / count - centre * centre
        return cls(total / len(changes), centre, math.sqrt(variance / count))

    @classmethod
    def average(cls, changes: Sequence["Change"]) -> Self:
        """The mean change of several tasks with different questions; each counts the same."""
        mean, centre = (math.fsum(column) / len(changes) for column in list(zip(*changes, strict=True))[:2])
        return cls(mean, centre, math.sqrt(math.fsum(change.error**2 for change in changes)) / len(changes))

    def interval(self, confidence: float) -> Interval:
        """The two-sided interval."""
        half = _z(confidence) * self.error
        return Interval(self.centre - half, self.centre + half)

    def finding(self, margin: float, confidence: float) -> Finding:
        """Harmless if the whole interval is above ``-margin``, harmful if it is below.

        Either is wrong with a probability of at most (1 - confidence) / 2. Wholly above is the test of non-inferiority, one of
        the two one-sided tests of equivalence (Schuirmann, J. Pharmacokinet. Biopharm. 15, 1987): a gain does no harm.
        """
        low, high = self.interval(confidence)
        return "harmless" if low >= -margin else "harmful" if high < -margin else "undecided"

    def p_value(self, margin: float) -> float:
        """p-value against a harm of at least the margin."""
        return _NORMAL.cdf(-(self.centre + margin) / self.error)

    def power(self, margin: float, confidence: float) -> float:
        """Probability that a model without any harm is found harmless with so many questions that differ so often."""
        return _NORMAL.cdf(margin / self.error - _z(confidence))

    def more_questions(self, margin: float, confidence: float, power: float = 0.8) -> float:
        """How many times the questions it takes to find a model without harm harmless with this power, about."""
        return ((_z(confidence) + _NORMAL.inv_cdf(power)) * self.error / margin) ** 2


def mcnemar(lost: int, gained: int) -> float:
    """p-value of McNemar's exact two-sided test (Psychometrika 12, 1947): are questions lost as often as gained?

    Takes O(sqrt(lost + gained)).

    Raises:
        InputError: a count is negative.
    """
    if min(lost, gained) < 0:
        raise InputError(f"{lost} questions lost and {gained} gained; counts cannot be negative")
    return min(1.0, 2 * math.exp(log_binomial_tail(max(lost, gained), lost + gained, 0.5)))


def bootstrap(tasks: Sequence[Sequence[float]], confidence: float, *, seed: int) -> Interval:
    """Percentile interval of the mean over tasks of the mean change, from 10,000 resamples of the questions of each task.

    Where no question differs it has no width, unlike ``Change.interval``.
    """
    import numpy as np  # noqa: PLC0415  a light command loads none

    chance, means = np.random.default_rng(seed), np.zeros(_RESAMPLES)
    for changes in tasks:
        values, counts = np.unique(np.asarray(changes, dtype=float), return_counts=True)
        step = max(1, _CELLS // len(values))
        for start in range(0, _RESAMPLES, step):
            part = means[start : start + step]
            drawn = chance.multinomial(len(changes), counts / len(changes), size=len(part))  # (resamples, values)
            part += drawn @ values / len(changes) / len(tasks)
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(low), float(high))


def _z(confidence: float) -> float:
    return _NORMAL.inv_cdf((1 + checked_share(confidence, "confidence")) / 2)
