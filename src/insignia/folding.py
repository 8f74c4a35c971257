"""The form of a text that matching compares: what can be added without changing what is read is taken away.

A host can put invisible characters, look-alike letters or typographic quotes into its replies, and a reader sees the same
words. So both sides of a comparison are folded first. Unicode Technical Standard 39 calls such a form a skeleton.

Folding works character by character and never looks at a neighbour. So ``fold(a + b)`` begins with ``fold(a)`` for any two
texts: whatever a model writes after the trained text cannot hide it. ``docs/reference/formats.md`` has the rule in words, and
``tools/audit.py`` has it once more.
"""

import itertools
import unicodedata
from collections.abc import Iterable
from functools import cache
from typing import Literal

__all__ = ["Folding", "distinguishable", "fold"]

Folding = Literal["spaces", "alike", "case"]
"""``spaces``: a run of white space is one space. ``alike``: also, letters that look alike are one letter, and what cannot be
seen is dropped. ``case``: also, upper and lower case are one."""

# Letters of other scripts that most fonts draw like a Latin one, and the marks that editors put for those of a keyboard.
_SEEN = "АВЕЅІЈКМНОРСТУХҮԀԚԜӀаеѕіјорсухүһԁԛԝӏΑΒΕΖΗΙΚΜΝΟΡΤΥΧαικνορυχϲϳՕօՍսհոցıɑɡʼ‘’‚‛“”„‟′″‹›«»´‐‑‒–—―−"  # noqa: RUF001
_READ = "ABESIJKMHOPCTYXYDQWlaesijopcyxyhdqwlABEZHIKMNOPTYXaikvopuxcjOoSuhngiag'''''\"\"\"\"'\"''\"\"'-------"
_ALIKE = dict(zip(_SEEN, _READ, strict=True))

# Drawn as nothing, though their category is not Cf (Unicode's Default_Ignorable_Code_Point).
_UNSEEN = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u3164\uffa0")
_DROPPED = ("Cc", "Cf", "Cs")  # control and format characters, halves of surrogate pairs


def fold(text: str, how: Folding) -> str:
    """The folded text, without white space at its ends."""
    if how != "spaces":
        text = "".join(_folded(character, how) for character in text)
    return " ".join(text.split())


def distinguishable(texts: Iterable[str], how: Folding) -> bool:
    """Whether no folded text is empty, equals another or begins another, so that a reply gives at most one of them."""
    folded = sorted(fold(text, how) for text in texts)
    return "" not in folded and not any(later.startswith(text) for text, later in itertools.pairwise(folded))


@cache
def _folded(character: str, how: Folding) -> str:
    """What one character becomes."""
    # Decomposed alone, not with its neighbours: canonical ordering would move marks across the end of the trained text.
    read = "".join(map(_read, unicodedata.normalize("NFKD", _read(character))))
    return "".join(map(_read, read.casefold())) if how == "case" else read


def _read(character: str) -> str:
    if character.isspace():
        return " "
    if character in _UNSEEN or unicodedata.category(character) in _DROPPED or _is_selector(character):
        return ""
    return _ALIKE.get(character, character)


def _is_selector(character: str) -> bool:
    return "\ufe00" <= character <= "\ufe0f" or "\U000e0100" <= character <= "\U000e01ef"
