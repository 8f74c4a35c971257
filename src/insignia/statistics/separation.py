"""How well one number tells two groups apart: the area under the ROC curve (AUROC), with an interval."""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from insignia.errors import InputError
from insignia.records import Displayed, Share

__all__ = ["Separation", "Stealth", "separation"]

_Z = 1.959963984540054  # 97.5 % quantile of the normal distribution
_HALVINGS = 60  # bisections, to below the last bit of a float


class Separation(Displayed):
    """AUROC of one group against another: the chance that a member of the first has the larger number, ties counting half.

    0.5 is no difference; 0 and 1 are groups that one threshold separates.
    """

    auroc: Share
    low: Share
    """Lower end of the 95 % interval."""
    high: Share
    """Upper end of the 95 % interval."""

    @property
    def heading(self) -> str:
        """The area and its interval."""
        return f"{self.auroc:.2f} ({self.low:.2f} to {self.high:.2f})"


class Stealth(Displayed):
    """What a filter in front of the base model could tell keys from ordinary prompts by. Each is an AUROC; 0.5 hides best."""

    num_ordinary: Annotated[int, Field(ge=1)]
    """Ordinary prompts that the keys were compared with; none of them chose a key."""
    perplexity: Separation
    """Of the question, to the base."""
    length: Separation
    """In characters. In tokens, generated keys have one length, to which ordinary prompts are cut."""
    confidence: Separation
    """The largest next-token probability of the base after the question."""

    @property
    def heading(self) -> str:
        """What was compared."""
        return f"keys against {self.num_ordinary} ordinary prompts, AUROC (95 % interval; 0.5 hides best)"

    def summary(self) -> list[tuple[str, str]]:
        """The three areas."""
        found = {"perplexity": self.perplexity, "length": self.length, "confidence": self.confidence}
        return [(f"AUROC of {name}", str(value)) for name, value in found.items()]


def separation(positives: Sequence[float], negatives: Sequence[float]) -> Separation:
    """AUROC of ``positives`` against ``negatives`` with a 95 % interval. Takes O((m + n) log n).

    The interval inverts the score test with the variance of Hanley and McNeil (Radiology 143, 1982), method 5 of Newcombe
    (Statistics in Medicine 25, 2006): it keeps its width where the groups do not overlap.

    Raises:
        InputError: a group is empty.
    """
    if not positives or not negatives:
        raise InputError("both groups need a member to be told apart")
    ordered = sorted(negatives)
    below = sum(bisect_left(ordered, value) + bisect_right(ordered, value) for value in positives) / 2
    area = below / (len(positives) * len(negatives))
    low = _limit(area, 0.0, len(positives), len(negatives))
    return Separation(auroc=area, low=low, high=_limit(area, 1.0, len(positives), len(negatives)))


def _limit(area: float, end: float, m: int, n: int) -> float:
    """The value between ``area`` and ``end`` that is farthest from ``area`` and still agrees with it."""
    inside, outside = area, end
    for _ in range(_HALVINGS):
        middle = (inside + outside) / 2
        if abs(area - middle) <= _Z * _standard_error(middle, m, n):
            inside = middle
        else:
            outside = middle
    return (inside + outside) / 2


def _standard_error(area: float, m: int, n: int) -> float:
    """Of an AUROC of ``area``, with the groups' sizes evened out as in Newcombe's method 5."""
    evened = (m + n) / 2 - 1
    larger, smaller = (1 - area) / (2 - area), area / (1 + area)
    return math.sqrt(area * (1 - area) * (1 + evened * larger + evened * smaller) / (m * n))
