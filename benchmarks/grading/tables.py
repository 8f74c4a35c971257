"""What each possible secret would pay an owner for given replies, and how capital grows over thousands of redrawn secrets.

A drawn response has k values at a key, so the package's own payoffs are looked up in a table. A whole order has k! values:
its places are counted here, and paid by the same formula as in the package. ``tests`` compare both with the real verdict.
"""

import functools
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from insignia.statistics.betting import STAKES, SequentialTest, Tally
from insignia.statistics.ranks import BETS, Place, RankEvidence
from insignia.suspects.base import Reply
from insignia.verification.matching import Expected, Match, find
from insignia.verification.places import places

Array = np.ndarray
Views = tuple[tuple[Place, ...], ...]
CAPITAL = np.array([bet.capital for bet in BETS])
STAKED = np.array([stake.capital for stake in STAKES])
_FRACTION = np.array([bet.fraction for bet in BETS])
_SHAPES = tuple(dict.fromkeys((bet.centre, bet.phi) for bet in BETS))
_SHAPE = np.array([_SHAPES.index((bet.centre, bet.phi)) for bet in BETS])
_DEPTH = np.array([bet.depth for bet in BETS])
_DEPTHS = np.unique(_DEPTH)
_TEST = SequentialTest()
_START = Tally()
_LARGEST = 690.0  # a logarithm; its exponential is finite


@functools.lru_cache(maxsize=2**16)
def growth_of(views: Views) -> Array:
    """The factor by which a key with these places multiplies the capital of each bet, once for each view."""
    return np.exp(RankEvidence().after(views).log_gains[: len(views)]).ravel()


@functools.lru_cache(maxsize=2**10)
def hit_growth(*, hit: bool, bound: float) -> Array:
    """The same for the stakes on hits."""
    return np.exp(_TEST.after(_START, hit=hit, bound=bound).evidence.log_gains)


class Drawn:
    """Replies by one channel, before responses that are drawn from the candidates."""

    def __init__(self, replies: Sequence[Reply], searches: Mapping[int, Expected], *, graded: bool) -> None:
        """``graded``: bets on places, as by scores and top tokens; else on hits."""
        pays = _paid_for_place if graded else _paid_for_hit
        growth = [pays(reply, searches[number]) for number, reply in enumerate(replies)]
        widest = max(each.shape[1] for each in growth)
        self._growth = [np.tile(each, widest // each.shape[1]) for each in growth]
        self.capital = _divided(widest // len(CAPITAL)) if graded else STAKED

    def growths(self, rng: np.random.Generator, count: int) -> Iterator[Array]:
        """Of each key, (secrets, bets)."""
        for growth in self._growth:
            yield growth[rng.integers(len(growth), size=count)]

    def growths_for(self, searches: Mapping[int, Expected]) -> Iterator[Array]:
        """The same for one given secret."""
        for number, growth in enumerate(self._growth):
            yield growth[list(searches[number].order[:1])]


class Ordered:
    """Replies by one channel, before secret orders of all candidates."""

    def __init__(self, replies: Sequence[Reply], searches: Mapping[int, Expected]) -> None:
        walks = [[_walk(view) for view in _ranges(reply, searches[number])] for number, reply in enumerate(replies)]
        most = max(map(len, walks))
        self._walks = [each * (most // len(each)) for each in walks]
        self._counts = [len(searches[number].candidates) for number in range(len(replies))]
        self.capital = _divided(most)

    def growths(self, rng: np.random.Generator, count: int) -> Iterator[Array]:
        """Of each key, (secrets, bets)."""
        for walks, size in zip(self._walks, self._counts, strict=True):
            position = rng.permuted(np.tile(np.arange(size), (count, 1)), axis=1)
            yield np.concatenate([_paid_for_order(walk, position) for walk in walks], axis=1)

    def growths_for(self, searches: Mapping[int, Expected]) -> Iterator[Array]:
        """The same for one given secret."""
        for number, walks in enumerate(self._walks):
            position = np.argsort(searches[number].order)[None]
            yield np.concatenate([_paid_for_order(walk, position) for walk in walks], axis=1)


def _divided(views: int) -> Array:
    """The capital of all bets, divided evenly among the views."""
    return np.tile(CAPITAL, views) / views


def e_values(capital: Array, growths: Iterator[Array]) -> tuple[Array, Array]:
    """The e-value after all keys, and the largest after any: (secrets,) each."""
    held, peak = capital[None], np.ones(1)
    for growth in growths:
        held = held * growth
        peak = np.maximum(peak, held.sum(1))
    return held.sum(1), peak


def _paid_for_place(reply: Reply, expected: Expected) -> Array:
    """(candidates, bets): the payoff if each candidate were the response."""
    drawn = (places(reply, expected._replace(order=(number,)), Match()) for number in range(len(expected.candidates)))
    return np.stack([growth_of(found) for found in drawn])


def _paid_for_hit(reply: Reply, expected: Expected) -> Array:
    rows = []
    for candidate in expected.candidates:
        found = find(reply.text, expected._replace(accepted=(candidate,)), Match())
        rows.append(hit_growth(hit=found.hit, bound=found.met / len(expected.candidates)))
    return np.stack(rows)


def _ranges(reply: Reply, expected: Expected) -> list[Array]:
    """For each view, (candidates, 2): first and last place of each in the suspect's order; (candidates, 0) if it shows none."""
    found = [places(reply, expected._replace(order=(number,)), Match()) for number in range(len(expected.candidates))]
    return [
        np.array([[(place.first, place.last) for place in each] for each in view], dtype=int).reshape(len(found), -1)
        for view in zip(*found, strict=True)
    ]


def _walk(ranges: Array) -> tuple[Array, Array]:
    """The untied candidates in the suspect's order, and for each which candidates are still to come: (steps,), (steps, k)."""
    if not ranges.size:
        return np.empty(0, dtype=int), np.empty((0, len(ranges)), dtype=bool)
    first, last = ranges.T
    steps = np.array([c for c in np.argsort(first, kind="stable") if first[c] == last[c] < len(ranges)], dtype=int)
    return steps, first[None, :] > first[steps][:, None]


@functools.cache
def _log_payoffs(size: int) -> Array:
    """(places - 1 of so many, shapes): the logarithm of the payoff."""
    place = np.arange(1, size + 1)
    weights = np.stack([np.float64(phi) ** abs(place - min(centre, size)) for centre, phi in _SHAPES], axis=1)
    with np.errstate(divide="ignore"):
        return np.log(size * weights / weights.sum(0))


def _paid_for_order(walk: tuple[Array, Array], position: Array) -> Array:
    """(secrets, bets), for the position of each candidate in the secret order, (secrets, k), from 0."""
    steps, to_come = walk
    if not len(steps):
        return np.ones((len(position), len(CAPITAL)))
    # Of the candidates not met yet, how many come before this one in the secret order: its place less 1.
    before = ((position[:, None, :] < position[:, steps][:, :, None]) & to_come).sum(2)
    paid = [_log_payoffs(1 + int(later.sum()))[before[:, step]] for step, later in enumerate(to_come)]
    so_far = np.stack([functools.reduce(np.add, paid[:depth]) for depth in _DEPTHS])  # (depths, secrets, shapes)
    chosen = so_far[np.searchsorted(_DEPTHS, _DEPTH), :, _SHAPE].T
    return 1 - _FRACTION + _FRACTION * np.exp(np.minimum(chosen, _LARGEST))
