"""Power analysis: how many keys to embed and ask, and what the remaining keys can prove."""

from collections.abc import Callable, Iterator
from typing import Annotated, Literal

from pydantic import Field

from insignia.errors import InputError
from insignia.records import Record, checked_share
from insignia.statistics.betting import MAX_QUERIES, Forecast, SequentialTest, Tally, forecast
from insignia.statistics.nulls import AnyNull
from insignia.statistics.rank_forecasts import forecast_ranks

__all__ = ["GIVES_UP", "SURVIVALS", "Chance", "Lost", "Outlook", "Plan", "outlook", "parse_lost", "plan"]

SURVIVALS = (1.0, 0.9, 0.5, 0.3)
"""Typical survival of a mark: as embedded, after rounding or a little training, after merging by half, and the lowest."""

GIVES_UP = 0.3  # survival below which a default verify gives up; see SequentialTest.survival
_MAX_KEYS = 2_000  # for one verdict; beyond, a better null helps more
_STEPS = 1_000  # resolution of the smallest survival: a tenth of a percent

Lost = Literal["silent", "random"]
"""Replies to the keys of lost fingerprints.

``silent``: none of the key's candidates. Under a design null this costs no evidence; under others it is a miss. ``random``: one
of the candidates, the right one as often as the null allows. This is the cautious assumption.
"""


class Plan(Record):
    """The number of keys that prove a mark with a given survival."""

    test: SequentialTest
    """Test of each suspect, with the most keys it asks."""
    bound: float
    """Bound of the null for each trial."""
    survival: float
    """Assumed share of fingerprints that survive. The test gives up below it, or below 0.3 if that is less."""
    lost: Lost
    power: float
    """Probability of proof."""
    median: Annotated[int, Field(ge=1)]
    """Keys after which half of such marks are proven."""
    embed: Annotated[int, Field(ge=1)]
    """Keys to embed, for all suspects together, since no key is asked twice."""


class Chance(Record):
    """The default test of a mark with a given survival."""

    survival: float
    """Share of fingerprints that survive."""
    proof: float
    """Probability of the outcome ``owned``."""
    median: int | None
    """Keys after which half of such marks are proven; None if fewer than half are."""


class Outlook(Record):
    """What a number of unspent keys can prove."""

    keys: Annotated[int, Field(ge=0)]
    """Most keys for each suspect: ``MAX_QUERIES``, or its share of the unspent keys."""
    bound: float
    """Bound of the null for each trial."""
    lost: Lost
    chances: tuple[Chance, ...]
    """Test results for each of ``SURVIVALS``."""
    least_survival: float | None
    """Smallest survival that is proven with the given power, to 0.001; None if even a whole mark is not."""
    healthy: int | None
    """Median number of keys that prove a whole mark; None if the keys do not suffice."""
    tests: Annotated[int, Field(ge=0)]
    """Number of tests of a whole mark that the keys suffice for, each with new keys."""


class _SilentMisses(SequentialTest):
    """A test in which every miss is a reply outside the candidate set, on which nothing is staked."""

    def after(self, tally: Tally, *, hit: bool | None, bound: float) -> Tally:
        """See ``SequentialTest.after``."""
        return super().after(tally, hit=hit, bound=bound if hit else 0.0)


def parse_lost(name: str) -> Lost:
    """Return ``silent`` or ``random``, or raise InputError."""
    if name == "silent":
        return "silent"
    if name == "random":
        return "random"
    raise InputError(f"unknown reply to lost fingerprints {name!r}; expected silent or random")


def plan(
    null: AnyNull,
    *,
    alpha: float = 1e-6,
    survival: float = 0.3,
    power: float = 0.95,
    futility: float = 0.01,
    suspects: int = 1,
    lost: Lost = "silent",
    graded: bool = False,
) -> Plan:
    """Plan tests of marks of which a share ``survival`` is left.

    Exact, by ``forecast`` of the test that ``verify`` runs; simulated for a ``graded`` one, which bets on places. Several
    suspects are tested at alpha over their number, the first step of Holm's procedure, each with new keys. Takes milliseconds
    for 100 keys, seconds for 2,000; a graded one, a second for 100.

    Raises:
        InputError: a number is out of range, alpha does not exceed the null's error, or 2,000 keys do not prove the mark.
    """
    _refuse_out_of_range(alpha, survival, power=power, futility=futility, suspects=suspects, lost=lost)
    test = SequentialTest(
        alpha=null.level(alpha / suspects),
        survival=min(GIVES_UP, survival),
        futility=futility,
        max_queries=_MAX_KEYS,
    )
    course: list[Forecast] = []
    if _is_distinguishable(null, survival, lost):
        course = list(_until(power, _course(test, null, survival, lost, graded=graded)))
    if not course or course[-1].owned < power:
        raise InputError(
            f"a survival of {survival:.3g} cannot be proven with {_MAX_KEYS} keys, since an innocent model may hit "
            f"{null.bound:.3g} of all trials; use more candidates per response, less power or a larger alpha"
        )
    last = course[-1]
    return Plan(
        test=test.model_copy(update={"max_queries": last.asked}),
        bound=null.bound,
        survival=survival,
        lost=lost,
        power=last.owned,
        median=next(odds.asked for odds in course if odds.owned >= min(power, 0.5)),
        embed=last.asked * suspects,
    )


def outlook(
    null: AnyNull,
    unspent: int,
    *,
    alpha: float = 1e-6,
    power: float = 0.95,
    futility: float = 0.01,
    suspects: int = 1,
    lost: Lost = "silent",
    graded: bool = False,
) -> Outlook:
    """Return what a default ``verify`` of each suspect can prove with ``unspent`` keys in total. Exact, like ``plan``.

    Raises:
        InputError: a number is out of range, or alpha does not exceed the null's error.
    """
    _refuse_out_of_range(alpha, 1.0, power=power, futility=futility, suspects=suspects, lost=lost)
    level = null.level(alpha / suspects)
    keys = min(MAX_QUERIES, unspent // suspects)
    test = SequentialTest(alpha=level, survival=GIVES_UP, futility=futility, max_queries=max(1, keys))

    def chance(survival: float) -> Chance:
        course = list(_course(test, null, survival, lost, graded=graded)) if keys and null.bound < 1 else []
        median = next((odds.asked for odds in course if odds.owned >= 0.5), None)
        return Chance(survival=survival, proof=course[-1].owned if course else 0.0, median=median)

    chances = tuple(chance(survival) for survival in SURVIVALS)
    healthy = chances[0].median
    return Outlook(
        keys=keys,
        bound=null.bound,
        lost=lost,
        chances=chances,
        least_survival=_least(lambda survival: chance(survival).proof >= power),
        healthy=healthy,
        tests=unspent // healthy if healthy else 0,
    )


def _course(test: SequentialTest, null: AnyNull, survival: float, lost: Lost, *, graded: bool) -> Iterator[Forecast]:
    """Return the forecast of the test for this survival."""
    if graded:
        return forecast_ranks(test, survival, round(1 / null.bound), silent=lost == "silent")
    if lost == "random":
        return forecast(test, survival + (1 - survival) * null.bound, null.bound)
    if null.name == "design":
        test = _SilentMisses(**test.model_dump())
    return forecast(test, survival, null.bound)


def _is_distinguishable(null: AnyNull, survival: float, lost: Lost) -> bool:
    """Whether the evidence can grow at all, for any number of keys."""
    return null.bound < 1 and (null.name == "design" or lost == "random" or survival > null.bound)


def _least(holds: Callable[[float], bool]) -> float | None:
    """Return the smallest survival at which a monotone condition holds."""
    if not holds(1.0):
        return None
    fails, good = 0, _STEPS
    while good - fails > 1:
        middle = (fails + good) // 2
        fails, good = (fails, middle) if holds(middle / _STEPS) else (middle, good)
    return good / _STEPS


def _until(power: float, course: Iterator[Forecast]) -> Iterator[Forecast]:
    """Yield the forecast up to the key at which the power is reached."""
    for odds in course:
        yield odds
        if odds.owned >= power:
            return


def _refuse_out_of_range(alpha: float, survival: float, *, power: float, futility: float, suspects: int, lost: Lost) -> None:
    checked_share(survival, "survival"), checked_share(power, "power")
    if suspects < 1 or not all(0 < value < 1 for value in (alpha, futility)) or not 0 < survival <= 1:
        raise InputError("expected at least one suspect, alpha and futility between 0 and 1, and a survival above 0, at most 1")
    if not 0 < power < 1 - futility:
        raise InputError(f"the power is {power} and futility {futility}; expected numbers above 0 that add up to less than 1")
    parse_lost(lost)
