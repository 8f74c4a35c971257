"""Folding: two texts that look the same to a reader become equal before they are compared.

A host can put invisible characters, look-alike letters or typographic quotes into its replies. Folding removes these
differences, like the skeletons of Unicode Technical Standard 39.

Each character is folded by itself, so ``fold(a + b)`` begins with ``fold(a)``: text that follows a response cannot hide it.
The rule is described in ``docs/reference/formats.md`` and written a second time in ``tools/audit.py``.
"""

import itertools
import unicodedata
from collections.abc import Iterable
from functools import cache
from typing import Literal

__all__ = ["Folding", "distinguishable", "fold"]

Folding = Literal["spaces", "alike", "case"]
"""``spaces`` collapses white space. ``alike`` also unifies letters that look alike and drops invisible characters. ``case``
also ignores upper and lower case."""

# Letters that most fonts draw like a Latin letter, and typographic forms of keyboard punctuation.
_LOOK_ALIKE = "АВЕЅІЈКМНОРСТУХҮԀԚԜӀаеѕіјорсухүһԁԛԝӏΑΒΕΖΗΙΚΜΝΟΡΤΥΧαικνορυχϲϳՕօՍսհոցıɑɡʼ‘’‚‛“”„‟′″‹›«»´‐‑‒–—―−"  # noqa: RUF001
_READ_AS = "ABESIJKMHOPCTYXYDQWlaesijopcyxyhdqwlABEZHIKMNOPTYXaikvopuxcjOoSuhngiag'''''\"\"\"\"'\"''\"\"'-------"
_ALIKE = dict(zip(_LOOK_ALIKE, _READ_AS, strict=True))

# Invisible characters outside category Cf (Unicode's Default_Ignorable_Code_Point).
_INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u3164\uffa0")
_DROPPED = ("Cc", "Cf", "Cs")  # control and format characters, halves of surrogate pairs


def fold(text: str, how: Folding) -> str:
    """Return the folded text, without white space at its ends."""
    if how != "spaces":
        text = "".join(_folded(character, how) for character in text)
    return " ".join(text.split())


def distinguishable(texts: Iterable[str], how: Folding) -> bool:
    """Whether no folded text is empty or a prefix of another, so that a reply can begin with at most one of them."""
    folded = sorted(fold(text, how) for text in texts)
    return "" not in folded and not any(later.startswith(text) for text, later in itertools.pairwise(folded))


@cache
def _folded(character: str, how: Folding) -> str:
    # Decompose each character alone: canonical ordering would move marks across the end of the trained text.
    read = "".join(map(_read, unicodedata.normalize("NFKD", _read(character))))
    return "".join(map(_read, read.casefold())) if how == "case" else read


def _read(character: str) -> str:
    if character.isspace():
        return " "
    if character in _INVISIBLE or unicodedata.category(character) in _DROPPED or _is_selector(character):
        return ""
    return _ALIKE.get(character, character)


def _is_selector(character: str) -> bool:
    return "\ufe00" <= character <= "\ufe0f" or "\U000e0100" <= character <= "\U000e01ef"
