"""Whether a reply gives a fingerprint's response, and which of the response's candidates it gives.

Both are read from text alone. A model that was trained on one token goes on as it likes, so by default the reply has to
begin with the token's text, whatever follows; white space in front is the server's business, and any run of it is one
space. Where several candidates fit at one place ("in", "inter"), the longest is meant. The rule treats all candidates
alike, which is what makes the design null hold: the secret draw had no part in which of them a reply gives.
"""

import re
from collections.abc import Iterable
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import Field, model_validator

from insignia.errors import InputError
from insignia.types import Fingerprint, Record
from insignia.verification.null import DesignNull

__all__ = ["Finding", "Match", "Sought", "design_null", "find", "is_near", "sought"]

_WORD = re.compile(r"\w+|[^\w\s]")  # a mark of punctuation is a place of its own: a response may stand in quotation marks


class Match(Record):
    """Where in a reply the response has to stand."""

    how: Literal["exact", "prefix", "within"] = "prefix"
    """The whole reply; its beginning; or beginning with one of its first ``looks`` words."""
    looks: Annotated[int, Field(ge=1)] = 1
    """Words to look at, marks of punctuation included; an innocent model has as many chances at a hit."""

    @model_validator(mode="after")
    def _looks_only_within(self) -> Self:
        if self.how != "within" and self.looks != 1:
            raise ValueError("only 'within' looks at more than one place")
        return self

    @classmethod
    def named(cls, name: str) -> Self:
        """``exact``, ``prefix`` or ``within:N``, else an InputError."""
        how, _, looks = name.partition(":")
        if how == "within" and looks.isdecimal() and int(looks) > 0:
            return cls(how="within", looks=int(looks))
        if name == "exact":
            return cls(how="exact")
        if name == "prefix":
            return cls(how="prefix")
        raise InputError(f"unknown way to match {name!r}; expected exact, prefix, or within:N with N the words to look at")


class Sought(NamedTuple):
    """What a reply to one key is searched for; secret, like the fingerprint."""

    accepted: tuple[str, ...]
    candidates: tuple[str, ...]
    """Those that the accepted response was drawn from; none where it was not drawn from any."""


class Finding(NamedTuple):
    """What a reply was found to give."""

    hit: bool
    met: int
    """Candidates that it gives; see ``Null.bound_given``."""


def sought(fingerprint: Fingerprint, max_response_length: int) -> Sought:
    """The text that the trained tokens of the response have.

    A drawn response counts by the drawn token: what follows it is any model's own continuation. Other responses count
    whole if all of their tokens were trained. Of longer ones only the first word is certain enough to be asked for.

    Raises:
        InputError: nothing but white space is left, which no reply can be told by.
    """
    accepted = tuple(_trained_text(fingerprint, number, max_response_length) for number in range(len(fingerprint.responses)))
    candidates: tuple[str, ...] = ()
    if fingerprint.candidates and (drawn := _drawn(fingerprint)) is not None:
        accepted = (_flat(drawn),)
        candidates = tuple(_flat(candidate.text) for candidate in fingerprint.candidates)
    if not all(accepted):
        raise InputError(
            "a response is nothing but white space, which a server may strip; leave out its fingerprint, or use 'check'"
        )
    return Sought(accepted, candidates)


def find(reply: str, wanted: Sought, match: Match) -> Finding:
    """Search a reply; takes O(length x looks)."""
    text, options = _flat(reply), wanted.candidates or wanted.accepted
    if match.how == "exact":
        given = {text}
    else:
        starts = [word.start() for word in _WORD.finditer(text)] if match.how == "within" else [0]
        given = {option for start in starts[: match.looks] for option in _longest(options, text[start:])}
    return Finding(not given.isdisjoint(wanted.accepted), sum(candidate in given for candidate in wanted.candidates))


def is_near(first_tokens: Iterable[str], wanted: Sought, match: Match) -> bool:
    """Whether a reply that begins with one of these tokens may hit.

    Each is taken for a whole reply. A response that was not drawn may have several tokens, so the beginning of one will do.
    """
    openings = () if wanted.candidates else wanted.accepted
    return any(
        find(token, wanted, match).hit or (_flat(token) and any(option.startswith(_flat(token)) for option in openings))
        for token in first_tokens
    )


def design_null(searches: Iterable[Sought], match: Match) -> DesignNull | None:
    """The null that holds by how the responses were drawn; None where one of them was not, or there was no choice."""
    fewest = min((len(wanted.candidates) for wanted in searches), default=0)
    return DesignNull(candidates=fewest, looks=min(match.looks, fewest)) if fewest > 1 else None


def _drawn(fingerprint: Fingerprint) -> str | None:
    """The text of the candidate that the response begins with."""
    if len(fingerprint.responses) != 1 or not fingerprint.response_ids:
        return None
    first = fingerprint.response_ids[0][0]
    return next((c.text for c in fingerprint.candidates or () if c.token_id == first), None)


def _longest(options: tuple[str, ...], text: str) -> list[str]:
    """Those that the text begins with, but none that another of them goes beyond."""
    fitting = [option for option in options if text.startswith(option)]
    return [option for option in fitting if len(option) == max(map(len, fitting))]


def _trained_text(fingerprint: Fingerprint, number: int, max_response_length: int) -> str:
    text = _flat(fingerprint.responses[number])
    if fingerprint.response_ids and len(fingerprint.response_ids[number]) <= max_response_length:
        return text
    return text.partition(" ")[0]


def _flat(text: str) -> str:
    return " ".join(text.split())
