"""Forecast of a test that bets on places. It has too many states to enumerate, so it is simulated, always with the same draws.

A key that survived has the response first; at a lost one it is anywhere, or nothing is seen of the candidates. A whole secret
order shows more than its first place, so for such sets this is cautious.
"""

from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING

from insignia.statistics.betting import Forecast, SequentialTest, Tally
from insignia.statistics.ranks import BETS, Place, RankEvidence

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["RUNS", "forecast_ranks"]

RUNS = 2_000
"""Simulated tests. A chance of 0.95 is off by more than 0.01 in one forecast of 25."""


def forecast_ranks(test: SequentialTest, survival: float, candidates: int, *, silent: bool) -> Iterator[Forecast]:
    """Forecast a test after 1, 2, ... ``max_queries`` keys of which a share survived; ``silent``: lost keys show nothing.

    Takes 10 ms a key.
    """
    import numpy as np  # noqa: PLC0415  a light command loads none

    rng = np.random.default_rng(0)
    growth, log_capital = _growth(candidates), np.log([bet.capital for bet in BETS])
    gains = np.zeros((RUNS, len(BETS)))
    doubt, undecided = np.zeros(RUNS), np.ones(RUNS, dtype=bool)
    hit_doubt, miss_doubt = (test.after_places(Tally(evidence=RankEvidence()), seen).doubt.log_e for seen in _HIT_AND_MISS)
    owned = not_shown = 0.0
    for asked in range(1, test.max_queries + 1):
        kept, elsewhere = rng.random(RUNS) < survival, rng.integers(0, candidates, RUNS)
        place = np.where(kept, 0, elsewhere)  # 0 is first
        seen = kept if silent else np.ones(RUNS, dtype=bool)
        gains[seen] += growth[place[seen]]
        doubt += np.where(seen & (place == 0), hit_doubt, miss_doubt)
        largest = gains.max(axis=1)
        log_e = largest + np.log(np.exp(gains - largest[:, None] + log_capital).sum(axis=1))
        proven = undecided & (log_e >= -np.log(test.alpha))
        given_up = undecided & ~proven & (doubt >= -np.log(test.futility)) & (log_e <= 0)
        undecided &= ~(proven | given_up)
        owned, not_shown = owned + float(proven.mean()), not_shown + float(given_up.mean())
        yield Forecast(asked, owned, not_shown)


_HIT_AND_MISS = ([[Place(1, 1, 2)]], [[Place(2, 2, 2)]])


@cache
def _growth(candidates: int) -> "NDArray[np.float64]":
    """Log growth of every bet at every place, (candidates, bets)."""
    import numpy as np  # noqa: PLC0415  a light command loads none

    places = [Place(place, place, candidates) for place in range(1, candidates + 1)]
    return np.array([RankEvidence().after([[place]]).log_gains[0] for place in places])
