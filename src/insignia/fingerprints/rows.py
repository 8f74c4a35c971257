"""Fingerprint rows of OML 1.0 and scalable-fingerprinting (Perinucleus), told apart by shape, never by file name.

Read: a list of strings (keys only); rows with ``key`` and ``response`` or ``signature`` (text, or a list of accepted
texts); ``effective_key``, the part of the key that was asked; ``response_prob`` as a number, a flat or a nested list; and
what people have of their own: question and answer, prompt and completion, instruction and output, as rows or as CSV.
Text is kept byte for byte: newlines, leading spaces, U+FFFD and control characters included.
"""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

from insignia.errors import FormatError, InputError
from insignia.records import Fingerprint

__all__ = ["SHAPES", "fingerprints_from_rows", "pairs_from_rows", "rows_from_csv", "rows_from_fingerprints"]

SHAPES = (
    'a JSON list or JSON lines of texts or of {"key": ..., "response": ...} (question and answer, prompt and completion, or '
    "instruction and output will do), or a .csv of one or two such columns"
)
_KEY_FIELDS = ("key", "question", "prompt", "instruction")
_RESPONSE_FIELDS = ("response", "signature", "answer", "completion", "output")


def pairs_from_rows(rows: Sequence[Any]) -> list[tuple[str, str | None]]:
    """(key, first response) of every row, duplicates included; the response of a bare key is None."""
    _refuse_empty(rows)
    if all(isinstance(row, str) for row in rows):
        return [(_key({"key": row}, number), None) for number, row in enumerate(rows)]
    return [(fingerprint.key, fingerprint.responses[0]) for fingerprint in fingerprints_from_rows(rows)]


def rows_from_csv(text: str) -> list[Any]:
    """The rows of a table, with a header that names the columns or without: a key, and a response or none.

    Raises:
        FormatError: it is no such table; the message names the row at most.
    """
    for delimiter in (",", ";", "\t"):
        header, *rows = _cells(text, delimiter) or [[]]  # by another than its own, a table may have quotes that do not match
        names = [name.strip().lower() for name in header]
        key = next((names.index(field) for field in _KEY_FIELDS if field in names), None)
        response = next((names.index(field) for field in _RESPONSE_FIELDS if field in names), None)
        if key is not None and (response is not None or len(names) == 1):
            _refuse_ragged(rows, len(names), first=2)
            return [row[key] if response is None else {"key": row[key], "response": row[response]} for row in rows]
    if (cells := _cells(text, ",")) is None:
        raise FormatError("its quotes do not match; expected a table as spreadsheets save it, as CSV")
    width = len(cells[0]) if cells else 1
    divided = bool(cells) and width == 1 and any(all(mark in row[0] for row in cells) for mark in ";\t")
    if width > 2 or divided:
        raise FormatError("the columns cannot be told apart; expected commas, and a first line 'key,response'")
    _refuse_ragged(cells, width, first=1)
    return [row[0] if width == 1 else {"key": row[0], "response": row[1]} for row in cells]


def _cells(text: str, delimiter: str) -> list[list[str]] | None:
    """None where the quotes do not match."""
    try:
        return [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True) if row]
    except csv.Error:
        return None


def _refuse_ragged(rows: list[list[str]], width: int, *, first: int) -> None:
    for number, row in enumerate(rows, first):
        if len(row) != width:
            raise FormatError(f"row {number} has {len(row)} columns, others {width}; put texts that hold commas in quotes")


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
    key = next((row[field] for field in _KEY_FIELDS if field in row), None) if isinstance(row, dict) else None
    if not isinstance(key, str) or not key:
        raise FormatError(f"row {number} has no 'key' text; expected {SHAPES}")
    if row.get("input"):
        raise FormatError(f"row {number} has an 'input' beside its key; write the whole question into one text")
    return key


def _fingerprint(row: Any, number: int) -> Fingerprint:
    key = _key(row, number)
    value = next((row[field] for field in _RESPONSE_FIELDS if field in row), None)
    responses = [value] if isinstance(value, str) else value
    if not isinstance(responses, list) or not responses or not all(isinstance(text, str) and text for text in responses):
        raise FormatError(f"row {number} has no 'response' (or 'signature') text or list of texts; expected {SHAPES}")
    asked = row.get("effective_key")
    # Truncation that cut a character left U+FFFD in a few published rows: there the key itself is the better text.
    effective = asked if isinstance(asked, str) and asked and key.startswith(asked) and asked != key else None
    return Fingerprint(key=key, effective_key=effective, responses=tuple(dict.fromkeys(responses)))
