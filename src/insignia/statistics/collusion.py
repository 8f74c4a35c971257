"""How many blocks it takes to trace a coalition, by simulation of coalitions and of what their copy shows.

Only members of the coalition are simulated: that no innocent licensee is named is proven, not measured.
"""

import functools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, NamedTuple

from pydantic import Field

from insignia.errors import InputError
from insignia.records import Record
from insignia.statistics.tracing import BETS, KEPT, log_ratio, log_sum, log_threshold, payoffs, strategies

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["EVASIVE", "POWER", "TracingPlan", "blocks_to_trace", "largest_coalition", "seen_blocks", "share_traced"]

POWER = 0.95
"""Chance of naming a member that a plan asks for."""

_LARGEST_COALITION = 8  # beyond, a report says "8 or more"
EVASIVE = "least_evidence"
"""The strategy of a coalition that adapts: it shows what must be expected to leave its best-placed member worst off."""

_RUNS = 200  # per strategy
_MARGIN = 1.645  # standard errors above the asked power, so that a plan keeps its promise with 95 % confidence
_MOST = 2**14
_PART = 64  # blocks drawn at once
_CERTAIN = 20.0  # log-ratio of a block that is seen to be there, to a coalition that weighs what to show


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
    bound: float,
    power: float = POWER,
    survival: float = 1.0,
    per_block: int = 1,
    seed: int = 0,
) -> TracingPlan:
    """How many blocks trace a coalition of each known strategy, and one that adapts.

    The share of simulated coalitions that is traced must exceed ``power`` by what chance could have added.

    Args:
        biases: The law's points.
        weights: Their chances.
        licensees: Everybody who was given a copy.
        colluders: Size of the coalition.
        alpha: Largest chance that any innocent licensee is named.
        bound: Chance that a model without a block hits.
        power: Chance that a member must be named with.
        survival: Share of a copy's fingerprints that are left.
        per_block: Fingerprints in each block.
        seed: Of the simulation.

    Raises:
        InputError: a number is out of range, or 16,384 blocks are not enough.
    """
    if not 0 < power < 1 or not 0 < survival <= 1:
        raise InputError(f"power {power:g} and survival {survival:g}; expected a power between 0 and 1, a survival above 0")
    law, replies, threshold = _Law(biases, weights), _Replies(survival, per_block, bound), log_threshold(licensees, alpha)
    worst: tuple[int, int, str] = (0, 0, "")
    for name, shows in _ways(colluders).items():
        coalitions = _Coalitions(shows, colluders, law, replies, threshold=threshold, seed=seed)
        worst = max(worst, (*coalitions.blocks_needed(power, most=_MOST), name))
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


def share_traced(
    biases: Sequence[float],
    weights: Sequence[float],
    blocks: int,
    strategy: str,
    *,
    licensees: int,
    colluders: int,
    alpha: float,
    bound: float,
    survival: float = 1.0,
    seed: int = 0,
) -> float:
    """Share of 200 simulated coalitions with this strategy of which a member is named after so many blocks."""
    law, replies, threshold = _Law(biases, weights), _Replies(survival, 1, bound), log_threshold(licensees, alpha)
    shows = _ways(colluders)[strategy]
    return _Coalitions(shows, colluders, law, replies, threshold=threshold, seed=seed).share_after(blocks)


@functools.lru_cache(maxsize=64)
def largest_coalition(
    biases: Sequence[float], weights: Sequence[float], blocks: int, *, licensees: int, alpha: float, bound: float
) -> int:
    """Size of the largest coalition that so many blocks trace with chance ``POWER``, by known strategies; 0 if none."""
    law, replies, threshold = _Law(biases, weights), _Replies(1.0, 1, bound), log_threshold(licensees, alpha)
    for colluders in range(1, _LARGEST_COALITION + 1):
        for shows in _ways(colluders).values():
            coalitions = _Coalitions(shows, colluders, law, replies, threshold=threshold, seed=0)
            if coalitions.blocks_needed(POWER, most=blocks)[0] > blocks:
                return colluders - 1
    return _LARGEST_COALITION


def _ways(colluders: int) -> dict[str, tuple[float, ...] | None]:
    """Every strategy of a coalition to plan for; None adapts. A single leaker has no choice."""
    return {**strategies(colluders), EVASIVE: None} if colluders > 1 else dict(strategies(colluders))


class _Replies(NamedTuple):
    """How a suspect replies, as ``seen_blocks`` takes it."""

    survival: float
    per_block: int
    bound: float


class _Law(NamedTuple):
    """What biases are drawn from."""

    biases: Sequence[float]
    weights: Sequence[float]


class _Coalitions:
    """``_RUNS`` coalitions with one strategy, followed block by block."""

    def __init__(
        self, shows: tuple[float, ...] | None, colluders: int, law: "_Law", replies: _Replies, *, threshold: float, seed: int
    ) -> None:
        import numpy as np  # noqa: PLC0415

        self._shows, self._colluders, self._replies, self._threshold = shows, colluders, replies, threshold
        self._points, self._weights = np.array(law.biases), np.array(law.weights)
        self._rng = np.random.default_rng(seed)
        self._capital = np.log([bet.capital for bet in BETS]).astype(np.float32)
        counts = range(replies.per_block + 1)
        self._paid = self._payoffs([log_ratio(hits, replies.per_block - hits, replies.bound) for hits in counts])
        self._certain = self._expected(self._payoffs([(-_CERTAIN,) * len(KEPT), (_CERTAIN,) * len(KEPT)]))

    def blocks_needed(self, power: float, *, most: int) -> tuple[int, int]:
        """After how many blocks this share of coalitions is traced, and half of them; more than ``most`` if never."""
        import numpy as np  # noqa: PLC0415

        enough = min(1.0, power + _MARGIN * math.sqrt(power * (1 - power) / _RUNS))
        gains, median = np.zeros((_RUNS, self._colluders, len(BETS)), np.float32), 0
        for done in range(0, most, _PART):
            points = self._rng.choice(len(self._points), size=(_PART, _RUNS), p=self._weights)
            for block, point in enumerate(points, done + 1):
                gains += self._step(point, gains)
                if block % (1 + block // 64):
                    continue  # one part in 64 is near enough
                named = (log_sum(gains + self._capital) >= self._threshold).any(1).mean()
                median = median or (block if named >= 1 / 2 else 0)
                if named >= enough:
                    return block, median
        return most + _PART, most + _PART

    def share_after(self, blocks: int) -> float:
        """Share of the coalitions that are traced after so many blocks."""
        import numpy as np  # noqa: PLC0415

        gains = np.zeros((_RUNS, self._colluders, len(BETS)), np.float32)
        for _ in range(blocks):
            gains += self._step(self._rng.choice(len(self._points), size=_RUNS, p=self._weights), gains)
        return float((log_sum(gains + self._capital) >= self._threshold).any(1).mean())

    def _step(self, point: "NDArray[np.intp]", gains: "NDArray[np.float32]") -> "NDArray[np.float32]":
        """What every bet on every member gains by the next block, whose biases are these."""
        words = self._rng.random((_RUNS, self._colluders)) < self._points[point, None]
        present = self._present(words, gains)
        chance = self._replies.bound + present * self._replies.survival * (1 - self._replies.bound)
        hits = self._rng.binomial(self._replies.per_block, chance)
        gained: NDArray[np.float32] = self._paid[hits[:, None], point[:, None], words.astype(int)]
        return gained

    def _present(self, words: "NDArray[np.bool_]", gains: "NDArray[np.float32]") -> "NDArray[np.bool_]":
        """Which coalitions show the block."""
        import numpy as np  # noqa: PLC0415

        holders = words.sum(1)
        if self._shows is not None:
            return np.asarray(self._rng.random(_RUNS) < np.array(self._shows)[holders])
        # The best-placed member's e-value if the block is shown or not, the biases being guessed from who has it.
        absent, shown = (
            log_sum(gains + self._certain[seen, holders[:, None], words.astype(int)] + self._capital).max(1) for seen in (0, 1)
        )
        return np.asarray(np.where((holders == 0) | (holders == self._colluders), holders > 0, shown < absent))

    def _payoffs(self, log_ratios: "list[tuple[float, ...]]") -> "NDArray[np.float32]":
        """Log payoffs (what is seen, points, lacking or having, bets)."""
        import numpy as np  # noqa: PLC0415

        tables = [payoffs(self._points, np.repeat(np.array(seen)[:, None], len(self._points), 1)) for seen in log_ratios]
        return np.array([np.stack([table.without.T, table.having.T], 1) for table in tables]).astype(np.float32)

    def _expected(self, paid: "NDArray[np.float32]") -> "NDArray[np.float32]":
        """The same (what is seen, holders, lacking or having, bets) for who knows the law and how many members have a block."""
        import numpy as np  # noqa: PLC0415

        have = np.arange(self._colluders + 1)[:, None]
        chances = self._weights * self._points**have * (1 - self._points) ** (self._colluders - have)
        return np.asarray(np.einsum("hp,spxb->shxb", chances / chances.sum(1, keepdims=True), paid), np.float32)


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
