"""How many fingerprints to embed, how many keys a verdict costs, and what the keys that are left can prove."""

from collections.abc import Callable, Iterator
from typing import Annotated, Literal

from pydantic import Field

from insignia.errors import InputError
from insignia.records import Record, checked_share
from insignia.statistics.betting import MAX_QUERIES, Forecast, SequentialTest, Tally, forecast
from insignia.statistics.nulls import AnyNull

__all__ = ["GIVES_UP", "SURVIVALS", "Chance", "Lost", "Outlook", "Plan", "lost_named", "outlook", "plan"]

SURVIVALS = (1.0, 0.9, 0.5, 0.3)
"""A mark as it was embedded; after rounding or a little training; after merging by half; at which ``verify`` gives up."""

GIVES_UP = 0.3  # the survival at which a default verify gives up; see SequentialTest.survival
_MOST_KEYS = 2_000  # that a verdict may cost: beyond, it is the null that has to be improved
_STEPS = 1_000  # in which the least survival is sought: a tenth of a percent

Lost = Literal["silent", "random"]
"""What the suspect says where a fingerprint was lost.

``silent``: none of the key's candidates. Such a reply costs no evidence under a design null; under any other null it is a
miss, since there are no candidates. ``random``: one of the candidates, the right one as often as the null allows, which is the
cautious assumption where there are candidates.
"""


class Plan(Record):
    """What has to be embedded and asked so that a mark which survives as assumed is proven."""

    test: SequentialTest
    """The test of each suspect: at alpha over their number, less the chance that the null is wrong; ``max_queries`` keys
    at most."""
    bound: float
    """The null's, for each trial."""
    survival: float
    """What was assumed; the test gives up below 0.3, as ``verify`` does, or below this where it is less."""
    lost: Lost
    power: float
    """The chance of proof; at least what was asked for."""
    median: Annotated[int, Field(ge=1)]
    """Keys after which half of such marks are proven."""
    embed: Annotated[int, Field(ge=1)]
    """Keys for all suspects: one that was asked is known to its host, and never asked again."""


class Chance(Record):
    """What the default test of a suspect comes to when so much of the mark has survived."""

    survival: float
    proof: float
    """The chance of ``owned``."""
    median: int | None
    """Keys after which half of such marks are proven; None where fewer than half ever are."""


class Outlook(Record):
    """What a number of unspent keys can prove."""

    keys: Annotated[int, Field(ge=0)]
    """That one suspect may be asked: ``MAX_QUERIES``, or its share of what is left."""
    bound: float
    """The null's, for each trial."""
    lost: Lost
    chances: tuple[Chance, ...]
    """For each of ``SURVIVALS``."""
    least_survival: float | None
    """The smallest share of the mark, in tenths of a percent, that is proven with the power asked for; None: not even all."""
    healthy: int | None
    """Keys that prove a mark of which nothing was lost; None where the keys do not."""
    tests: Annotated[int, Field(ge=0)]
    """Tests of such a mark that the keys last for, each with fresh keys."""


class _SilentMisses(SequentialTest):
    """The same test where every miss is a reply outside of the candidate set, on which nothing is staked."""

    def after(self, tally: Tally, *, hit: bool | None, bound: float) -> Tally:
        """See ``SequentialTest.after``."""
        return super().after(tally, hit=hit, bound=bound if hit else 0.0)


def lost_named(name: str) -> Lost:
    """``silent`` or ``random``, else an InputError."""
    if name == "silent":
        return "silent"
    if name == "random":
        return "random"
    raise InputError(f"unknown way to lose a fingerprint {name!r}; expected silent or random")


def plan(
    null: AnyNull,
    *,
    alpha: float = 1e-6,
    survival: float = 0.3,
    power: float = 0.95,
    futility: float = 0.01,
    suspects: int = 1,
    lost: Lost = "silent",
) -> Plan:
    """Plan for models that hit with ``survival`` in each trial where the fingerprint is left, and else as ``lost`` says.

    The numbers come from ``forecast`` of the test that ``verify`` runs, by recursion over its outcomes; nothing is
    approximated. Several suspects are tested at alpha over their number, the first step of Holm's procedure, each with
    fresh keys. Takes milliseconds for 100 keys, seconds for 2,000.

    Raises:
        InputError: a number is out of range, alpha is no larger than the null's own error, or so few survivors cannot be
            told from an innocent model with 2,000 keys.
    """
    _refuse_out_of_range(alpha, survival, power=power, futility=futility, suspects=suspects, lost=lost)
    test = SequentialTest(
        alpha=null.level(alpha / suspects),
        survival=min(GIVES_UP, survival),
        futility=futility,
        max_queries=_MOST_KEYS,
    )
    course: list[Forecast] = []
    if _can_be_told(null, survival, lost):
        course = list(_until(power, _course(test, null, survival, lost)))
    if not course or course[-1].owned < power:
        raise InputError(
            f"a survival of {survival:.3g} is too near to an innocent model, which may hit {null.bound:.3g} of all trials, "
            f"to be proven with {_MOST_KEYS} keys; give each response more candidates, or ask for less power or a larger alpha"
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
) -> Outlook:
    """What a default ``verify`` of each suspect can prove when so many keys are left for all of them; exact, as ``plan``.

    Raises:
        InputError: a number is out of range, or alpha is no larger than the null's own error.
    """
    _refuse_out_of_range(alpha, 1.0, power=power, futility=futility, suspects=suspects, lost=lost)
    level = null.level(alpha / suspects)
    keys = min(MAX_QUERIES, unspent // suspects)
    test = SequentialTest(alpha=level, survival=GIVES_UP, futility=futility, max_queries=max(1, keys))

    def chance(survival: float) -> Chance:
        course = list(_course(test, null, survival, lost)) if keys and null.bound < 1 else []
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


def _course(test: SequentialTest, null: AnyNull, survival: float, lost: Lost) -> Iterator[Forecast]:
    """The forecast of the test when this share of the fingerprints is left."""
    if lost == "random":
        return forecast(test, survival + (1 - survival) * null.bound, null.bound)
    if null.name == "design":
        test = _SilentMisses(**test.model_dump())
    return forecast(test, survival, null.bound)


def _can_be_told(null: AnyNull, survival: float, lost: Lost) -> bool:
    """Whether the evidence can grow at all, for any number of keys."""
    return null.bound < 1 and (null.name == "design" or lost == "random" or survival > null.bound)


def _least(holds: Callable[[float], bool]) -> float | None:
    """The smallest survival at which this holds, as it does at every larger one."""
    if not holds(1.0):
        return None
    fails, good = 0, _STEPS
    while good - fails > 1:
        middle = (fails + good) // 2
        fails, good = (fails, middle) if holds(middle / _STEPS) else (middle, good)
    return good / _STEPS


def _until(power: float, course: Iterator[Forecast]) -> Iterator[Forecast]:
    """The forecast up to the key at which the power is reached."""
    for odds in course:
        yield odds
        if odds.owned >= power:
            return


def _refuse_out_of_range(alpha: float, survival: float, *, power: float, futility: float, suspects: int, lost: Lost) -> None:
    checked_share(survival, "survival"), checked_share(power, "power")
    if suspects < 1 or not all(0 < value < 1 for value in (alpha, futility)) or not 0 < survival <= 1:
        raise InputError("expected at least one suspect, alpha and futility between 0 and 1, and a survival above 0, at most 1")
    if not 0 < power < 1 - futility:
        raise InputError(
            f"a power of {power} with a chance of {futility} to give up on a mark; expected the two to add up to less than 1"
        )
    lost_named(lost)
