"""Betting on ranks: evidence from the order in which a suspect puts a key's candidates.

The secret response was drawn from k candidates, so for any suspect its place among them is uniform on 1..k. A strategy that
draws a whole secret order says more. Walk down the suspect's order: among the candidates not met yet, count the place of the
one just met in the secret order. For any suspect that is independent of the draw, these places are independent, and the
j-th is uniform on 1..k-j+1 (the Lehmann code of a uniform permutation; Knuth, TAOCP vol. 3, 5.1.1).

A bet on a place that is uniform on 1..n pays ``n q(place)`` for a distribution q, which is 1 on average. If ties leave a range
of places, it pays the average over the range, so ties neither gain nor lose on average. A key pays the product over its
places. That of ``q(p) ~ phi^(p - 1)`` is the likelihood ratio of Mallows' model (Biometrika 44, 1957; Fligner and Verducci,
J. R. Statist. Soc. B 48, 1986). The payoffs of all keys multiply to an e-value (:mod:`insignia.statistics.betting`).

What a mark keeps under an attack is unknown, so the capital is divided among bets, each of which holds to its share. One of
them expects the order itself, and others expect every place to be moved by a constant, which is what a host leaves who drops
the likeliest tokens. Their sum learns which: the bets that were right hold most of the capital (Cover, Math. Finance 1, 1991).
"""

import functools
import itertools
import math
import operator
from collections.abc import Sequence
from typing import NamedTuple

from insignia.errors import InputError

__all__ = ["BETS", "FACTORS", "Bet", "Place", "RankEvidence", "log_p_of_chosen", "log_sum"]

_DEEPEST = 10**9  # bet on every place of a key
_LARGE = 500.0  # logarithms above overflow soon


class Place(NamedTuple):
    """A place that is uniform on 1..``of`` under the null. Ties leave it somewhere in ``first``..``last``."""

    first: int
    last: int
    of: int


class Bet(NamedTuple):
    """A part of the capital and what it expects of every key."""

    capital: float
    """Share of the capital at the start."""
    fraction: float
    """Fraction staked on each key; the share of keys that are expected to carry the mark."""
    centre: int
    """Expected place, from 1."""
    phi: float
    """Factor by which each place further from the centre is less expected; 0 for the centre alone."""
    depth: int
    """Number of places of a key that are bet on, from the first."""


def _grid(
    capital: float, centres: Sequence[int], phis: Sequence[float], depths: Sequence[int], fractions: Sequence[float]
) -> list[Bet]:
    """Divide capital among all combinations: by fraction, by 1 / centre, and else evenly."""
    whole = math.fsum(1 / centre for centre in centres) * len(phis) * len(depths) * math.fsum(fractions)
    return [
        Bet(capital * fraction / centre / whole, fraction, centre, phi, depth)
        for centre, phi, depth, fraction in itertools.product(centres, phis, depths, fractions)
    ]


BETS = (
    *_grid(0.8, [1], [0.0, 0.05, 0.2, 0.45, 0.65, 0.85], [1, 4, _DEEPEST], [0.98, 0.6, 0.3, 0.1]),
    *_grid(0.2, range(2, 17), [0.0, 0.4, 0.75], [1, _DEEPEST], [0.9, 0.5, 0.2]),
)
"""Division of the capital. Four fifths expect the order itself, in full or in its first places, exactly or loosely."""


FACTORS = (1.0, 4.0, 16.0, 64.0)
"""Factors by which a suspect's difference from the base is enlarged before its candidates are ranked; 1 takes its scores as
they are. Each has an equal part of the capital. The base's probabilities were fixed with the candidates, before the draw, so
the null holds for any of them. A mark that merging has made small in every weight is mostly small by a factor."""


class RankEvidence(NamedTuple):
    """An e-value against the hypothesis that every place is uniform, whatever the earlier ones were."""

    log_gains: tuple[tuple[float, ...], ...] = ((0.0,) * len(BETS),) * len(FACTORS)
    """Logarithm of the growth of each bet's capital, for each of the ``FACTORS``."""

    @property
    def log_e(self) -> float:
        """Logarithm of the e-value."""
        return log_sum([log_sum(list(map(operator.add, _LOG_CAPITAL, gains))) for gains in self.log_gains]) - _LOG_FACTORS

    @property
    def grows(self) -> bool:
        """Whether the capital is above its start, so that a test should not give up."""
        return self.log_e > 0

    def after(self, views: Sequence[Sequence[Place]]) -> "RankEvidence":
        """Return the evidence after one more key; without any place, nothing is staked.

        ``views`` has the key's places for each of the ``FACTORS``, or once for all of them.

        Raises:
            InputError: a place is not within 1..of, or the number of views is another.
        """
        if len(views) not in (1, len(FACTORS)):
            raise InputError(f"a key has {len(views)} views; expected 1 or {len(FACTORS)}")
        growths = [_growths(tuple(places)) for places in views] * (len(FACTORS) // len(views))
        return RankEvidence(
            tuple(tuple(map(operator.add, gains, grown)) for gains, grown in zip(self.log_gains, growths, strict=True))
        )


def log_p_of_chosen(log_e: float, asked: int, chosen_from: int) -> float:
    """Return the log p-value of evidence from keys that somebody chose after seeing all replies.

    The evidence does not depend on the order of the keys. So the chance that any choice of ``asked`` keys among
    ``chosen_from`` reaches it is at most the number of choices divided by the e-value. How many to ask was a choice, too, among
    ``chosen_from`` numbers.
    """
    choices = (
        math.log(chosen_from) + math.lgamma(chosen_from + 1) - math.lgamma(asked + 1) - math.lgamma(chosen_from - asked + 1)
    )
    return min(0.0, choices - log_e)


def log_sum(logs: Sequence[float]) -> float:
    """Return the logarithm of the sum of numbers given by their logarithms."""
    largest = max(logs)
    if largest == -math.inf:
        return largest
    return largest + math.log(math.fsum(math.exp(log - largest) for log in logs))


@functools.lru_cache(maxsize=2**10)
def _growths(places: tuple[Place, ...]) -> tuple[float, ...]:
    """Return the logarithm of the growth of every bet's capital by a key with these places."""
    if not places:
        return (0.0,) * len(BETS)
    if any(not 1 <= place.first <= place.last <= place.of for place in places):
        raise InputError("a place is outside 1..of; expected 1 <= first <= last <= of")
    paid = {(centre, phi): _log_payoffs(places, centre, phi) for centre, phi in _SHAPES}
    grown = []
    for bet in BETS:
        payoffs = paid[bet.centre, bet.phi]
        grown.append(_log_growth(bet.fraction, payoffs[min(bet.depth, len(payoffs)) - 1]))
    return tuple(grown)


def _log_growth(fraction: float, log_payoff: float) -> float:
    """Return log(1 - fraction + fraction * payoff)."""
    if log_payoff > _LARGE:  # the rest of the stake does not count
        return math.log(fraction) + log_payoff
    return math.log1p(fraction * math.expm1(log_payoff))


def _log_payoffs(places: Sequence[Place], centre: int, phi: float) -> list[float]:
    """Return the logarithms of the products of the first 1, 2, ... payoffs."""
    logs = [_log_payoff(place, min(centre, place.of), phi) for place in places]
    return list(itertools.accumulate(logs))


@functools.lru_cache(maxsize=2**16)
def _log_payoff(place: Place, centre: int, phi: float) -> float:
    """Return the logarithm of ``of`` times the mean of q over the range, for q(p) ~ phi^|p - centre|."""
    whole = _weight(1, place.of, centre, phi)
    part = _weight(place.first, place.last, centre, phi)
    if part == 0:
        return -math.inf
    return math.log(place.of * part / ((place.last - place.first + 1) * whole))


def _weight(first: int, last: int, centre: int, phi: float) -> float:
    """Return the sum of phi^|p - centre| over p = first .. last in constant time: a file may have 65,536 candidates."""
    if phi == 0:
        return float(first <= centre <= last)
    before = _geometric(centre - min(last, centre), centre - first, phi)
    return before + _geometric(max(first, centre + 1) - centre, last - centre, phi)


def _geometric(least: int, most: int, phi: float) -> float:
    """Return the sum of phi^d over d = least .. most."""
    return float((phi**least - phi ** (most + 1)) / (1 - phi)) if least <= most else 0.0


_LOG_FACTORS = math.log(len(FACTORS))
_LOG_CAPITAL = tuple(math.log(bet.capital) for bet in BETS)
_SHAPES = tuple(dict.fromkeys((bet.centre, bet.phi) for bet in BETS))
