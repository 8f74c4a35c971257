"""How many fingerprints to embed, and how many keys a verdict will cost."""

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from insignia.errors import InputError
from insignia.types import Record
from insignia.verification.null import AnyNull
from insignia.verification.sequential import Forecast, SequentialTest, forecast

__all__ = ["Plan", "plan"]

_MOST_KEYS = 2_000  # that a verdict may cost: beyond, it is the null that has to be improved


class Plan(Record):
    """What has to be embedded and asked so that a mark which survives as assumed is proven."""

    test: SequentialTest
    """The test of each suspect: at alpha over their number, less the chance that the null is wrong; ``max_queries`` keys
    at most."""
    bound: float
    """The null's, for each trial."""
    power: float
    """The chance of proof; at least what was asked for."""
    median: Annotated[int, Field(ge=1)]
    """Keys after which half of such marks are proven."""
    embed: Annotated[int, Field(ge=1)]
    """Keys for all suspects: one that was asked is known to its host, and never asked again."""


def plan(
    null: AnyNull,
    *,
    alpha: float = 1e-6,
    survival: float = 0.3,
    power: float = 0.95,
    futility: float = 0.01,
    suspects: int = 1,
) -> Plan:
    """Plan for models that hit with ``survival`` in each trial, and never where a fingerprint was lost.

    The numbers come from ``forecast``, by recursion over the test's own outcomes; nothing is approximated. They err on the
    safe side: in truth some lost fingerprints hit by chance, and a design null does not count what lies outside the
    candidate set. Several suspects are tested at alpha over their number, the first step of Holm's procedure, each with
    fresh keys. Takes milliseconds for 100 keys, seconds for 2,000.

    Raises:
        InputError: a number is out of range, alpha is no larger than the null's own error, or so few survivors cannot be
            told from an innocent model with 2,000 keys.
    """
    if suspects < 1 or not all(0 < value < 1 for value in (alpha, survival, futility)):
        raise InputError("expected at least one suspect, and alpha, survival and futility between 0 and 1")
    if not 0 < power < 1 - futility:
        raise InputError(
            f"a power of {power} with a chance of {futility} to give up on a mark; expected the two to add up to less than 1"
        )
    level, bound = null.level(alpha / suspects), null.bound
    test = SequentialTest(alpha=level, survival=survival, futility=futility, max_queries=_MOST_KEYS)
    course = list(_until(power, test, bound)) if survival > bound else []
    if not course or course[-1].owned < power:
        raise InputError(
            f"a survival of {survival:.3g} is too near to an innocent model, which may hit {bound:.3g} of all trials, to be "
            f"proven with {_MOST_KEYS} keys; give each response more candidates, or ask for less power or a larger alpha"
        )
    last = course[-1]
    return Plan(
        test=test.model_copy(update={"max_queries": last.asked}),
        bound=bound,
        power=last.owned,
        median=next(odds.asked for odds in course if odds.owned >= min(power, 0.5)),
        embed=last.asked * suspects,
    )


def _until(power: float, test: SequentialTest, bound: float) -> Iterator[Forecast]:
    """The forecast up to the key at which the power is reached."""
    for odds in forecast(test, test.survival, bound):
        yield odds
        if odds.owned >= power:
            return
