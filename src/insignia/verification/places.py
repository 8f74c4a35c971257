"""Places: where the secret response, or the whole secret order, lies in the order that a reply puts the candidates in.

A reply is read as groups of candidates, likeliest first; those of one group are tied. Reading it never uses the secret, and
treats all candidates alike, so the null of :mod:`insignia.statistics.ranks` holds for whatever a suspect replies.
"""

import itertools
import math
from collections.abc import Iterable

from insignia.errors import InputError
from insignia.folding import fold
from insignia.statistics.ranks import Place
from insignia.suspects.base import Reply
from insignia.verification.matching import Expected, Match, candidate_given

__all__ = ["perfect_places", "places"]


def places(reply: Reply, expected: Expected, match: Match) -> tuple[Place, ...]:
    """Return the places that an answered reply shows; none if it tells nothing about the candidates.

    Raises:
        InputError: the response was not drawn from candidates, or the reply does not score each of them.
    """
    if not expected.candidates:
        raise InputError("a response was not drawn from candidates, so its place among them means nothing")
    groups = _groups(reply, expected, match)
    if len(groups) < 2:
        return ()
    if len(expected.order) > 1:
        return tuple(_places_in_order(groups, expected.order))
    above = 0
    for group in groups:
        if expected.order[0] in group:
            return (Place(above + 1, above + len(group), len(expected.candidates)),)
        above += len(group)
    raise AssertionError  # pragma: no cover  # for the type checker: every candidate is in a group


def perfect_places(expected: Expected, *, whole: bool) -> tuple[Place, ...]:
    """Return the places of a mark that was carried whole, as seen in a whole order or in its first candidate alone."""
    count = len(expected.candidates)
    last = 2 if whole and len(expected.order) > 1 else count
    return tuple(Place(1, 1, n) for n in range(count, last - 1, -1))


def _groups(reply: Reply, expected: Expected, match: Match) -> list[list[int]]:
    """Return the indices of all candidates in groups, likeliest first."""
    count = len(expected.candidates)
    if reply.channel == "scores":
        if len(reply.scores) != count:
            raise InputError(f"a reply scores {len(reply.scores)} candidates; expected {count}")
        return _tied(reply.scores)
    if reply.channel == "top":
        tokens = [(fold(token.text, match.fold), token.log_probability) for token in reply.alternatives]
        seen = [max((log for text, log in tokens if text == each), default=-math.inf) for each in expected.candidates]
        return _tied(seen)
    given = candidate_given(reply.text, expected, match)
    return [] if given is None else _tied(float(number == given) for number in range(count))


def _tied(values: Iterable[float]) -> list[list[int]]:
    ranked = sorted(enumerate(values), key=lambda item: -item[1])
    return [[number for number, _ in group] for _, group in itertools.groupby(ranked, key=lambda item: item[1])]


def _places_in_order(groups: list[list[int]], order: tuple[int, ...]) -> Iterable[Place]:
    """Yield the place of each candidate in the secret order among those not met yet. Tied candidates are passed over."""
    left = list(order)
    for group in groups:
        if len(group) == 1 and len(left) > 1:
            place = left.index(group[0]) + 1
            yield Place(place, place, len(left))
        left = [number for number in left if number not in group]
