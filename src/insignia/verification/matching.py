"""Matching: whether a reply gives a fingerprint's response, and how many of its candidates.

By default, a reply must begin with the text of the trained tokens; whatever follows does not count. Reply and response are
folded before they are compared (:mod:`insignia.folding`). If one candidate begins another, as "in" and "inter" in some sets
of 0.1.0, the longest one counts. All candidates are treated alike, which the design null relies on.
"""

import math
import re
from collections.abc import Iterable
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import Field, model_validator

from insignia.errors import InputError
from insignia.folding import Folding, fold
from insignia.records import Candidate, Fingerprint, Record
from insignia.statistics.nulls import DesignNull

__all__ = ["Expected", "Finding", "Match", "candidate_given", "design_null", "expected_responses", "find", "is_near"]

_WORD = re.compile(r"\w+|[^\w\s]")  # punctuation counts as a word, since a response may stand in quotation marks


class Match(Record):
    """Where in a reply the response must be, and which differences are ignored."""

    how: Literal["exact", "prefix", "within"] = "prefix"
    """Place of the response: the whole reply, its beginning, or at one of its first ``looks`` words."""
    looks: Annotated[int, Field(ge=1)] = 1
    """Number of words to look at, including punctuation. An innocent model has as many chances of a hit."""
    fold: Folding = "alike"
    """Differences that are ignored. Transcripts of 0.1.0 lack it and mean ``spaces``."""

    @model_validator(mode="after")
    def _looks_only_within(self) -> Self:
        if self.how != "within" and self.looks != 1:
            raise ValueError("only 'within' looks at more than one place")
        return self

    @classmethod
    def named(cls, name: str, *, fold: Folding = "alike") -> Self:
        """Parse ``exact``, ``prefix`` or ``within:N``, or raise InputError."""
        how, _, looks = name.partition(":")
        if how == "within" and looks.isdecimal() and int(looks) > 0:
            return cls(how="within", looks=int(looks), fold=fold)
        if name == "exact":
            return cls(how="exact", fold=fold)
        if name == "prefix":
            return cls(how="prefix", fold=fold)
        raise InputError(f"unknown match {name!r}; expected exact, prefix, or within:N for the first N words")


class Expected(NamedTuple):
    """The folded texts that a reply to one key is searched for. Secret, like the fingerprint."""

    accepted: tuple[str, ...]
    """Texts that are a hit."""
    candidates: tuple[str, ...]
    """Candidates that the response was drawn from; empty if it was not drawn."""
    order: tuple[int, ...] = ()
    """Indices of the candidates in the secret order, or of the response alone if no order was drawn."""
    log_base: tuple[float, ...] = ()
    """Log-probability of each candidate by the model that ranked them; empty if none did."""
    further: tuple["Expected", ...] = ()
    """The same for each further token of the response that has a secret order."""


class Finding(NamedTuple):
    """The result of searching a reply."""

    hit: bool
    met: int
    """Number of candidates that the reply matches; see ``Null.bound_given``."""


def expected_responses(fingerprint: Fingerprint, max_response_length: int, match: Match) -> Expected:
    """Return the folded texts of the trained tokens of a fingerprint's responses.

    Sets of 0.1.0 do not store them. There, a drawn response counts by its drawn token. Another counts as a whole if all of
    its tokens were trained, else by its first word.

    Raises:
        InputError: the file has no token ids, a response is invisible once folded, or two candidates look alike.
    """
    texts = fingerprint.effective_responses or _texts_from_ids(fingerprint, max_response_length)
    accepted = tuple(fold(text, match.fold) for text in texts)
    if not all(accepted):
        raise InputError("a response is only white space, which a server may strip; leave out its fingerprint, or use 'check'")
    candidates = _distinct(fingerprint.candidates or (), match)
    drawn = candidates.index(accepted[0]) if len(accepted) == 1 and accepted[0] in candidates else None
    if fingerprint.order is not None and fingerprint.order[0] != drawn:
        raise InputError("the response of a fingerprint is not the first of its secret order; was the file edited?")
    if drawn is None:
        return Expected(accepted, ())
    chances = [candidate.probability or 0.0 for candidate in fingerprint.candidates or ()]
    log_base = tuple(map(math.log, chances)) if all(0 < chance <= 1 for chance in chances) else ()
    further = tuple(_continued(_distinct(each.candidates, match), each.order) for each in fingerprint.continuations or ())
    return Expected(accepted, candidates, fingerprint.order or (drawn,), log_base, further)


def _continued(candidates: tuple[str, ...], order: tuple[int, ...]) -> Expected:
    return Expected((candidates[order[0]],), candidates, order)


def _distinct(candidates: Iterable[Candidate], match: Match) -> tuple[str, ...]:
    """Return the folded texts of candidates; raises InputError if two are the same."""
    texts = tuple(fold(candidate.text, match.fold) for candidate in candidates)
    if len(set(texts)) < len(texts):
        raise InputError(
            "two candidates of a key look alike, so a reply would match both; use another folding, or make a new set"
        )
    return texts


def find(reply: str, expected: Expected, match: Match) -> Finding:
    """Search a reply for the expected texts. Takes O(length x looks)."""
    given = _given(reply, expected, match)
    return Finding(not given.isdisjoint(expected.accepted), sum(candidate in given for candidate in expected.candidates))


def candidate_given(reply: str, expected: Expected, match: Match) -> int | None:
    """Return the index of the candidate that a reply gives; None if it gives none, or several."""
    given = _given(reply, expected, match)
    met = [number for number, candidate in enumerate(expected.candidates) if candidate in given]
    return met[0] if len(met) == 1 else None


def _given(reply: str, expected: Expected, match: Match) -> set[str]:
    text, options = fold(reply, match.fold), expected.candidates or expected.accepted
    if match.how == "exact":
        return {text}
    starts = [word.start() for word in _WORD.finditer(text)] if match.how == "within" else [0]
    return {option for start in starts[: match.looks] for option in _longest(options, text[start:])}


def is_near(first_tokens: Iterable[str], expected: Expected, match: Match) -> bool:
    """Whether a reply that begins with one of these tokens may be a hit.

    A response that was not drawn may have several tokens, so a prefix of it counts as well.
    """
    openings = () if expected.candidates else expected.accepted
    return any(find(token, expected, match).hit or _begins(openings, fold(token, match.fold)) for token in first_tokens)


def design_null(searches: Iterable[Expected], match: Match) -> DesignNull | None:
    """Return the design null of these searches, or None if a response was not drawn from at least two candidates."""
    fewest = min((len(expected.candidates) for expected in searches), default=0)
    return DesignNull(candidates=fewest, looks=min(match.looks, fewest)) if fewest > 1 else None


def _texts_from_ids(fingerprint: Fingerprint, max_response_length: int) -> tuple[str, ...]:
    """Return the trained texts of a fingerprint of 0.1.0, by its token ids."""
    if fingerprint.response_ids is None:
        raise InputError(
            "the file has no token ids, so which part of a response was trained is unknown; make a set from it first: "
            "insignia generate SET --keys-file FILE --model MODEL"
        )
    first = fingerprint.response_ids[0][0]
    drawn = next((c.text for c in fingerprint.candidates or () if c.token_id == first), None)
    if drawn is not None and len(fingerprint.responses) == 1:
        return (drawn,)
    return tuple(
        text if len(ids) <= max_response_length else (text.split() or [""])[0]
        for text, ids in zip(fingerprint.responses, fingerprint.response_ids, strict=True)
    )


def _begins(options: tuple[str, ...], text: str) -> bool:
    return bool(text) and any(option.startswith(text) for option in options)


def _longest(options: tuple[str, ...], text: str) -> list[str]:
    """Return the longest options that the text begins with."""
    fitting = [option for option in options if text.startswith(option)]
    return [option for option in fitting if len(option) == max(map(len, fitting))]
