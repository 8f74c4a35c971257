"""Places: where the secret response, or the whole secret order, lies in the order that a reply puts the candidates in.

A reply is read as groups of candidates, likeliest first; those of one group are tied. Reading it never uses the secret, and
treats all candidates alike but for what the base thought of them, which was fixed before the draw. So the null of
:mod:`insignia.statistics.ranks` holds for whatever a suspect replies.
"""

import itertools
import math
from collections.abc import Iterable

from insignia.errors import InputError
from insignia.folding import fold
from insignia.records import Fingerprint
from insignia.statistics.ranks import FACTORS, Place
from insignia.suspects.base import Reply
from insignia.verification.matching import Expected, Match, candidate_given

__all__ = ["handicaps", "perfect_places", "places", "response_score"]

_CHOICE_FACTOR = FACTORS[2]  # merged at 0.1, 6 keys instead of 14; no attack that was measured costs more keys by it
_MOST_HANDICAP = 40.0  # between two candidates: servers add at most 100, which must still raise all above other tokens


def handicaps(fingerprint: Fingerprint) -> tuple[float, ...]:
    """Return what to add to the candidates' log-probabilities before the suspect chooses one of them.

    With them it chooses the likeliest by its enlarged difference from the base, not the likeliest. They were fixed before the
    draw, so the null holds. There are none if no model ranked the candidates, or if the mark is their order.
    """
    chances = [candidate.probability or 0.0 for candidate in fingerprint.candidates or ()]
    if fingerprint.order is not None or not all(0 < chance <= 1 for chance in chances):
        return ()
    raised = [(1 / _CHOICE_FACTOR - 1) * math.log(chance) for chance in chances]
    return tuple(min(each, min(raised) + _MOST_HANDICAP) for each in raised)


def places(reply: Reply, expected: Expected, match: Match) -> tuple[tuple[Place, ...], ...]:
    """Return the places that an answered reply shows, for each of the ``FACTORS``, or once where they are the same for all.

    There are none if it tells nothing about the candidates.

    Raises:
        InputError: the response was not drawn from candidates, or the reply does not score each of them.
    """
    if not expected.candidates:
        raise InputError("a response was not drawn from candidates, so its place among them means nothing")
    if reply.channel == "scores" and expected.log_base:
        scored = _scores(reply, len(expected.candidates))
        return tuple(_places(_tied(_enlarged(scored, expected.log_base, factor)), expected.order) for factor in FACTORS)
    return ((*_places(_groups(reply, expected, match), expected.order), *_places_after(reply, expected, match)),)


def _places_after(reply: Reply, expected: Expected, match: Match) -> Iterable[Place]:
    """Yield the places that a text shows in the orders of the further response tokens, as far as it gives the response.

    What it says after another candidate shows nothing: the candidates were made for the response.
    """
    if reply.channel != "text" or match.how != "prefix":
        return
    rest = fold(reply.text, match.fold)
    for said, following in itertools.pairwise((expected, *expected.further)):
        if candidate_given(rest, said, match) != said.order[0]:
            return
        rest = rest[len(said.candidates[said.order[0]]) :].lstrip()
        yield from _places(_alone(candidate_given(rest, following, match), len(following.candidates)), following.order)


def response_score(reply: Reply, expected: Expected, match: Match) -> float | None:
    """Return the log-probability of the response by a reply of channel ``scores`` or ``top``; None where it is not listed.

    Raises:
        InputError: the response was not drawn from candidates, or the reply does not score each of them.
    """
    if not expected.candidates:
        raise InputError("a reply weighs the candidates of a key that has none; expected a reply by text")
    if reply.channel == "scores":
        return _scores(reply, len(expected.candidates))[expected.order[0]]
    return _listed(reply, match).get(expected.candidates[expected.order[0]])


def perfect_places(expected: Expected, *, whole: bool) -> tuple[tuple[Place, ...], ...]:
    """Return the places of a mark that was carried whole, as seen in a whole order or in the first of each order."""
    count = len(expected.candidates)
    if whole and len(expected.order) > 1:
        return (tuple(Place(1, 1, n) for n in range(count, 1, -1)),)
    return (tuple(Place(1, 1, len(each.candidates)) for each in (expected, *expected.further)),)


def _places(groups: list[list[int]], order: tuple[int, ...]) -> tuple[Place, ...]:
    """Return the places of a secret order, or of the response alone, in candidates grouped with the likeliest first."""
    if len(groups) < 2:
        return ()
    if len(order) > 1:
        return tuple(_places_in_order(groups, order))
    drawn = next(number for number, group in enumerate(groups) if order[0] in group)
    above = sum(map(len, groups[:drawn]))
    return (Place(above + 1, above + len(groups[drawn]), sum(map(len, groups))),)


def _scores(reply: Reply, count: int) -> tuple[float, ...]:
    if len(reply.scores) != count:
        raise InputError(f"a reply scores {len(reply.scores)} candidates; expected {count}")
    return reply.scores


def _enlarged(scores: Iterable[float], log_base: Iterable[float], factor: float) -> list[float]:
    """Return the base's log-probabilities plus the enlarged difference from them."""
    if factor == 1:
        return list(scores)
    return [base + factor * (score - base) for score, base in zip(scores, log_base, strict=True)]


def _groups(reply: Reply, expected: Expected, match: Match) -> list[list[int]]:
    """Return the indices of all candidates in groups, likeliest first."""
    count = len(expected.candidates)
    if reply.channel == "scores":
        return _tied(_scores(reply, count))
    if reply.channel == "top":
        seen = _listed(reply, match)
        return _tied(seen.get(each, -math.inf) for each in expected.candidates)
    return _alone(candidate_given(reply.text, expected, match), count)


def _alone(given: int | None, count: int) -> list[list[int]]:
    """Return the groups of a reply that gives one candidate, or none."""
    return [] if given is None else _tied(float(number == given) for number in range(count))


def _listed(reply: Reply, match: Match) -> dict[str, float]:
    """Return the log-probabilities of the likeliest tokens by their folded text."""
    seen: dict[str, float] = {}
    for token in reply.alternatives:
        text = fold(token.text, match.fold)
        seen[text] = max(seen.get(text, -math.inf), token.log_probability)
    return seen


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
