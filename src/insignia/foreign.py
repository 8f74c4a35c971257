"""Fingerprint rows of OML 1.0 and scalable-fingerprinting (Perinucleus), told apart by shape, never by file name.

Read: a list of strings (keys only); rows with ``key`` and ``response`` or ``signature`` (text, or a list of accepted
texts); ``effective_key``, the part of the key that was asked; ``response_prob`` as a number, a flat or a nested list.
Text is kept byte for byte: newlines, leading spaces, U+FFFD and control characters included.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from insignia.errors import FormatError, InputError
from insignia.types import Fingerprint

__all__ = ["fingerprints_from_rows", "pairs_from_rows", "rows_from_fingerprints"]

_RESPONSE_FIELDS = ("response", "signature")


def pairs_from_rows(rows: Sequence[Any]) -> list[tuple[str, str | None]]:
    """(key, first response) of every row, duplicates included; the response of a bare key is None."""
    _refuse_empty(rows)
    if all(isinstance(row, str) for row in rows):
        return [(_key({"key": row}, number), None) for number, row in enumerate(rows)]
    return [(fingerprint.key, fingerprint.responses[0]) for fingerprint in fingerprints_from_rows(rows)]


def fingerprints_from_rows(rows: Sequence[Any]) -> tuple[Fingerprint, ...]:
    """One fingerprint a row, in order; published files repeat some keys, and so does the result.

    Raises:
        InputError: the rows are keys alone.
        FormatError: an empty list, or a row that is no fingerprint (named by its number).
    """
    _refuse_empty(rows)
    if all(isinstance(row, str) for row in rows):
        raise InputError("the file holds keys without responses; make responses with 'insignia generate --keys-file'")
    return tuple(_fingerprint(row, number) for number, row in enumerate(rows))


def rows_from_fingerprints(fingerprints: Iterable[Fingerprint]) -> list[dict[str, Any]]:
    """The rows that OML 1.0 reads; several accepted responses become a list, as scalable-fingerprinting writes them."""
    return [
        {
            "key": fingerprint.key,
            "response": fingerprint.responses[0] if len(fingerprint.responses) == 1 else list(fingerprint.responses),
        }
        for fingerprint in fingerprints
    ]


def _refuse_empty(rows: Sequence[Any]) -> None:
    if not rows:
        raise FormatError("the list is empty; expected at least one key")


def _key(row: Any, number: int) -> str:
    key = row.get("key") if isinstance(row, dict) else None
    if not isinstance(key, str) or not key:
        raise FormatError(f"row {number} has no 'key' text; expected {{'key': ..., 'response': ...}}")
    return key


def _fingerprint(row: Any, number: int) -> Fingerprint:
    key = _key(row, number)
    value = next((row[field] for field in _RESPONSE_FIELDS if field in row), None)
    responses = [value] if isinstance(value, str) else value
    if not isinstance(responses, list) or not responses or not all(isinstance(text, str) and text for text in responses):
        raise FormatError(f"row {number} has no 'response' (or 'signature') text or list of texts")
    asked = row.get("effective_key")
    # Truncation that cut a character left U+FFFD in a few published rows: there the key itself is the better text.
    effective = asked if isinstance(asked, str) and asked and key.startswith(asked) and asked != key else None
    return Fingerprint(key=key, effective_key=effective, responses=tuple(dict.fromkeys(responses)))
