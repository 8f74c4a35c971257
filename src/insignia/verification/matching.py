"""Whether a reply gives a fingerprint's response, and which of the response's candidates it gives.

Both are read from text alone. A model that was trained on a few tokens goes on as it likes, so by default the reply has to
begin with the text of those tokens, whatever follows. Reply and response are folded before they are compared
(:mod:`insignia.folding`). No candidate begins another in the sets that we make; where some do, as in sets of 0.1.0 ("in",
"inter"), the longest that fits is meant. The rule treats all candidates alike, which is what makes the design null hold: the
secret draw had no part in which of them a reply gives.
"""

import re
from collections.abc import Iterable
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import Field, model_validator

from insignia.errors import InputError
from insignia.folding import Folding, fold
from insignia.records import Fingerprint, Record
from insignia.statistics.nulls import DesignNull

__all__ = ["Expected", "Finding", "Match", "design_null", "expected_responses", "find", "is_near"]

_WORD = re.compile(r"\w+|[^\w\s]")  # a mark of punctuation is a place of its own: a response may stand in quotation marks


class Match(Record):
    """Where in a reply the response has to stand, and which differences do not count."""

    how: Literal["exact", "prefix", "within"] = "prefix"
    """The whole reply; its beginning; or beginning with one of its first ``looks`` words."""
    looks: Annotated[int, Field(ge=1)] = 1
    """Words to look at, marks of punctuation included; an innocent model has as many chances at a hit."""
    fold: Folding = "alike"
    """Differences that do not count. Transcripts of 0.1.0 do not name it and mean ``spaces``."""

    @model_validator(mode="after")
    def _looks_only_within(self) -> Self:
        if self.how != "within" and self.looks != 1:
            raise ValueError("only 'within' looks at more than one place")
        return self

    @classmethod
    def named(cls, name: str, *, fold: Folding = "alike") -> Self:
        """``exact``, ``prefix`` or ``within:N``, else an InputError."""
        how, _, looks = name.partition(":")
        if how == "within" and looks.isdecimal() and int(looks) > 0:
            return cls(how="within", looks=int(looks), fold=fold)
        if name == "exact":
            return cls(how="exact", fold=fold)
        if name == "prefix":
            return cls(how="prefix", fold=fold)
        raise InputError(f"unknown way to match {name!r}; expected exact, prefix, or within:N with N the words to look at")


class Expected(NamedTuple):
    """What a reply to one key is searched for, folded; secret, like the fingerprint."""

    accepted: tuple[str, ...]
    candidates: tuple[str, ...]
    """Those that the accepted response was drawn from; none where it was not drawn from any."""


class Finding(NamedTuple):
    """What a reply was found to give."""

    hit: bool
    met: int
    """Candidates that it gives; see ``Null.bound_given``."""


def expected_responses(fingerprint: Fingerprint, max_response_length: int, match: Match) -> Expected:
    """The text that the trained tokens of the response have.

    Sets of 0.1.0 do not say what that is. There a drawn response counts by the drawn token, another one whole if all of its
    tokens were trained, and else by its first word.

    Raises:
        InputError: only a tokenizer could tell which part of the response was trained, nothing that can be seen is left of a
            response, or two candidates look alike.
    """
    texts = fingerprint.effective_responses or _texts_from_ids(fingerprint, max_response_length)
    accepted = tuple(fold(text, match.fold) for text in texts)
    if not all(accepted):
        raise InputError(
            "a response is nothing but white space, which a server may strip; leave out its fingerprint, or use 'check'"
        )
    candidates = tuple(fold(candidate.text, match.fold) for candidate in fingerprint.candidates or ())
    if len(set(candidates)) < len(candidates):
        raise InputError(
            "two candidates of a key look alike, so that a reply would give both; match with another folding, or make a new set"
        )
    return Expected(accepted, candidates if len(accepted) == 1 and accepted[0] in candidates else ())


def find(reply: str, expected: Expected, match: Match) -> Finding:
    """Search a reply; takes O(length x looks)."""
    text, options = fold(reply, match.fold), expected.candidates or expected.accepted
    if match.how == "exact":
        given = {text}
    else:
        starts = [word.start() for word in _WORD.finditer(text)] if match.how == "within" else [0]
        given = {option for start in starts[: match.looks] for option in _longest(options, text[start:])}
    return Finding(not given.isdisjoint(expected.accepted), sum(candidate in given for candidate in expected.candidates))


def is_near(first_tokens: Iterable[str], expected: Expected, match: Match) -> bool:
    """Whether a reply that begins with one of these tokens may hit.

    Each is taken for a whole reply. A response that was not drawn may have several tokens, so the beginning of one will do.
    """
    openings = () if expected.candidates else expected.accepted
    return any(find(token, expected, match).hit or _begins(openings, fold(token, match.fold)) for token in first_tokens)


def design_null(searches: Iterable[Expected], match: Match) -> DesignNull | None:
    """The null that holds by how the responses were drawn; None where one of them was not, or there was no choice."""
    fewest = min((len(expected.candidates) for expected in searches), default=0)
    return DesignNull(candidates=fewest, looks=min(match.looks, fewest)) if fewest > 1 else None


def _texts_from_ids(fingerprint: Fingerprint, max_response_length: int) -> tuple[str, ...]:
    """What the token ids tell of the text that was trained."""
    if fingerprint.response_ids is None:
        raise InputError(
            "the file holds text alone, and only a tokenizer tells which part of a response was trained; make a set of it "
            "first: insignia generate SET --keys-file FILE --model MODEL"
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
    """Those that the text begins with, but none that another of them goes beyond."""
    fitting = [option for option in options if text.startswith(option)]
    return [option for option in fitting if len(option) == max(map(len, fitting))]
