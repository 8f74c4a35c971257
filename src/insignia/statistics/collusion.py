"""How many blocks it takes to trace a coalition, by simulation of coalitions and of what their copy shows.

Only members of the coalition are simulated: that no innocent licensee is named is proven, not measured.
"""

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, NamedTuple

from pydantic import Field

from insignia.errors import InputError
from insignia.records import Record
from insignia.statistics.tracing import KEPT, log_ratio, log_threshold, payoffs, strategies

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["POWER", "TracingPlan", "blocks_to_trace", "largest_coalition", "seen_blocks"]

POWER = 0.95
"""Chance of naming a member that a plan asks for."""

_LARGEST_COALITION = 8  # beyond, a report says "8 or more"
_RUNS = 200  # per strategy: a chance of 0.95 is measured to +-0.03
_MOST = 2**14
_PART = 64  # blocks simulated at once


class TracingPlan(Record):
    """Blocks and keys with which a coalition is traced."""

    licensees: Annotated[int, Field(ge=1)]
    colluders: Annotated[int, Field(ge=1)]
    alpha: float
    power: float
    """Chance that at least one member is named, for the strategy that takes the most blocks."""
    blocks: Annotated[int, Field(ge=1)]
    per_block: Annotated[int, Field(ge=1)]
    """Fingerprints in each block."""
    median: Annotated[int, Field(ge=1)]
    """Blocks after which half of such coalitions are traced."""
    strategy: Annotated[str, Field(repr=False)]
    """The strategy that takes the most blocks."""

    @property
    def keys(self) -> int:
        """Fingerprints in all blocks together."""
        return self.blocks * self.per_block


def blocks_to_trace(
    biases: Sequence[float],
    weights: Sequence[float],
    *,
    licensees: int,
    colluders: int,
    alpha: float,
    power: float = POWER,
    survival: float = 1.0,
    per_block: int = 1,
    bound: float = 1 / 16,
    seed: int = 0,
) -> TracingPlan:
    """How many blocks trace a coalition of each known strategy, with biases drawn from these with these weights.

    Args:
        biases: The law's points.
        weights: Their chances.
        licensees: Everybody who was given a copy.
        colluders: Size of the coalition.
        alpha: Largest chance that any innocent licensee is named.
        power: Chance that a member must be named with.
        survival: Share of a copy's fingerprints that are left.
        per_block: Fingerprints in each block.
        bound: Chance that a model without a block hits.
        seed: Of the simulation.

    Raises:
        InputError: a number is out of range, or 16,384 blocks are not enough.
    """
    if not 0 < power < 1 or not 0 < survival <= 1:
        raise InputError(f"power {power:g} and survival {survival:g}; expected a power between 0 and 1, a survival above 0")
    threshold, replies = log_threshold(licensees, alpha), _Replies(survival, per_block, bound)
    worst: tuple[int, int, str] = (0, 0, "")
    for name, shows in strategies(colluders).items():
        coalition = _Coalition(shows, biases, weights, replies, threshold)
        worst = max(worst, (*coalition.blocks_needed(power, seed, most=_MOST), name))
    if worst[0] > _MOST:
        raise InputError(
            f"{_MOST} blocks do not trace a coalition of {colluders} among {licensees} licensees that keeps {survival:.0%} of"
            " the fingerprints; plan for fewer colluders, or more fingerprints a block"
        )
    return TracingPlan(
        licensees=licensees,
        colluders=colluders,
        alpha=alpha,
        power=power,
        blocks=worst[0],
        per_block=per_block,
        median=worst[1],
        strategy=worst[2],
    )


@functools.lru_cache(maxsize=64)
def largest_coalition(biases: Sequence[float], weights: Sequence[float], blocks: int, *, licensees: int, alpha: float) -> int:
    """Size of the largest coalition that so many blocks trace with chance ``POWER``, by known strategies; 0 if none."""
    threshold, replies = log_threshold(licensees, alpha), _Replies(1.0, 1, 1 / 16)
    for colluders in range(1, _LARGEST_COALITION + 1):
        for shows in strategies(colluders).values():
            coalition = _Coalition(shows, biases, weights, replies, threshold)
            if coalition.blocks_needed(POWER, 0, most=blocks)[0] > blocks:
                return colluders - 1
    return _LARGEST_COALITION


class _Replies(NamedTuple):
    """How a suspect replies, as ``seen_blocks`` takes it."""

    survival: float
    per_block: int
    bound: float


class _Coalition(NamedTuple):
    """A coalition with one strategy, and a code."""

    shows: tuple[float, ...]
    biases: Sequence[float]
    weights: Sequence[float]
    replies: _Replies
    threshold: float

    def blocks_needed(self, power: float, seed: int, *, most: int) -> tuple[int, int]:
        """After how many blocks this share of coalitions is traced, and half of them; more than ``most`` if never."""
        import numpy as np  # noqa: PLC0415

        rngs = [np.random.default_rng([seed, run]) for run in range(_RUNS)]
        gains: list[NDArray[np.float64] | float] = [0.0] * _RUNS
        median = 0
        for done in range(0, most, _PART):
            named = np.zeros(_PART)
            for run, rng in enumerate(rngs):
                traced, gains[run] = self._go_on(rng, gains[run])
                named += traced / _RUNS
            if not median and (named >= 1 / 2).any():
                median = done + int((named >= 1 / 2).argmax()) + 1
            if (named >= power).any():
                return done + int((named >= power).argmax()) + 1, median
        return most + _PART, most + _PART

    def _go_on(
        self, rng: "np.random.Generator", gains: "NDArray[np.float64] | float"
    ) -> "tuple[NDArray[np.bool_], NDArray[np.float64]]":
        """Whether a member is named after each of the next blocks, and what the bets have gained then."""
        import numpy as np  # noqa: PLC0415

        drawn = rng.choice(np.array(self.biases), size=_PART, p=self.weights)
        words = rng.random((len(self.shows) - 1, _PART)) < drawn
        present = rng.random(_PART) < np.array(self.shows)[words.sum(0)]
        seen = seen_blocks(rng, present, **self.replies._asdict())
        running, after = payoffs(drawn, seen).running(words, gains)
        return np.asarray((running >= self.threshold).any(0)), after


def seen_blocks(
    rng: "np.random.Generator", present: "NDArray[np.bool_]", *, survival: float, per_block: int, bound: float
) -> "NDArray[np.float64]":
    """Log-ratios (shares in ``KEPT``, blocks) of simulated replies of a model with these blocks present."""
    import numpy as np  # noqa: PLC0415

    chance = np.where(present, survival + (1 - survival) * bound, bound)
    hits = rng.binomial(per_block, chance)
    table = np.array([log_ratio(count, per_block - count, bound) for count in range(per_block + 1)])
    assert table.shape[1] == len(KEPT)  # noqa: S101  # one column for each share
    return table[hits].T
