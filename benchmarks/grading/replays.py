"""A model is asked all keys once by a channel; tests in several orders of keys are replayed from its replies."""

import math
import random
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Self

from insignia.evaluation.replays import Replayed, replay, wanted
from insignia.fingerprints.sets import FingerprintSet
from insignia.suspects.base import Channel, Reply

ORDERS = 9

Told = Mapping[Channel, Sequence[Reply]]
"""The replies to all keys by each channel."""


def replays(
    prints: FingerprintSet, channel: Channel, replies: Sequence[Reply], *, seed: int = 0, orders: int = ORDERS
) -> list[Replayed]:
    """Tests in several orders of the keys."""
    searches, numbers = wanted(prints), range(len(prints))
    shuffled = (random.Random(f"{seed} {number}").sample(numbers, len(prints)) for number in range(orders))
    return [replay(prints, searches, channel, replies, order) for order in shuffled]


class Cell(NamedTuple):
    """Tests of one attack by one channel, over seeds and orders."""

    median: float
    least: float
    most: float
    log10_p: float
    """Median of the p-value after all keys."""
    owned: int
    tests: int

    @classmethod
    def of(cls, tests: Iterable[Replayed]) -> Self:
        found = list(tests)
        keys = [one.asked if one.outcome == "owned" else math.inf for one in found]
        return cls(
            statistics.median_high(keys),
            min(keys),
            max(keys),
            statistics.median(one.log_p_of_all for one in found) / math.log(10),
            sum(key < math.inf for key in keys),
            len(found),
        )

    def as_json(self) -> dict[str, float | None]:
        """JSON has no infinity: null stands for no proof."""
        return {name: value if math.isfinite(value) else None for name, value in self._asdict().items()}

    def __str__(self) -> str:
        if not self.owned:
            return f"- (p 1e{self.log10_p:.0f})"
        return f"{self.median:g} ({self.least:g} to {self.most:g}; p 1e{self.log10_p:.0f})"
