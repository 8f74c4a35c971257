"""Fingerprint rows of OML 1.0, of scalable-fingerprinting (Perinucleus) and of users. The shape decides, not the file name.

Accepted are a list of strings (keys only); rows with ``key`` and ``response`` or ``signature`` (a text or a list of accepted
texts); ``effective_key``, the part of the key that was asked; ``response_prob`` in any form; and question and answer, prompt
and completion, or instruction and output, as rows or as CSV. Text is kept byte for byte.
"""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

from insignia.errors import FormatError, InputError
from insignia.records import Fingerprint

__all__ = ["SHAPES", "fingerprints_from_rows", "pairs_from_rows", "rows_from_csv", "rows_from_fingerprints"]

SHAPES = (
    'a JSON list or JSON lines of texts or of {"key": ..., "response": ...} (or question and answer, prompt and completion, '
    "instruction and output), or a .csv of one or two such columns"
)
_KEY_FIELDS = ("key", "question", "prompt", "instruction")
_RESPONSE_FIELDS = ("response", "signature", "answer", "completion", "output")


def pairs_from_rows(rows: Sequence[Any]) -> list[tuple[str, str | None]]:
    """Return (key, first response) of every row, duplicates included. The response of a bare key is None."""
    _refuse_empty(rows)
    if all(isinstance(row, str) for row in rows):
        return [(_key({"key": row}, number), None) for number, row in enumerate(rows)]
    return [(fingerprint.key, fingerprint.responses[0]) for fingerprint in fingerprints_from_rows(rows)]


def rows_from_csv(text: str) -> list[Any]:
    """Return the rows of a table of keys, or of keys and responses. A header line is optional.

    Raises:
        FormatError: the text is not such a table; the message has the row number but no text.
    """
    for delimiter in (",", ";", "\t"):
        header, *rows = _cells(text, delimiter) or [[]]  # with the wrong delimiter, quotes may not match
        names = [name.strip().lower() for name in header]
        key = next((names.index(field) for field in _KEY_FIELDS if field in names), None)
        response = next((names.index(field) for field in _RESPONSE_FIELDS if field in names), None)
        if key is not None and (response is not None or len(names) == 1):
            _refuse_ragged(rows, len(names), first=2)
            return [row[key] if response is None else {"key": row[key], "response": row[response]} for row in rows]
    if (cells := _cells(text, ",")) is None:
        raise FormatError("the quotes do not match; expected CSV as spreadsheets save it")
    width = len(cells[0]) if cells else 1
    divided = bool(cells) and width == 1 and any(all(mark in row[0] for row in cells) for mark in ";\t")
    if width > 2 or divided:
        raise FormatError("the columns are ambiguous; separate them by commas and start with the line 'key,response'")
    _refuse_ragged(cells, width, first=1)
    return [row[0] if width == 1 else {"key": row[0], "response": row[1]} for row in cells]


def _cells(text: str, delimiter: str) -> list[list[str]] | None:
    """Return the cells of each row, or None if the quotes do not match."""
    try:
        return [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True) if row]
    except csv.Error:
        return None


def _refuse_ragged(rows: list[list[str]], width: int, *, first: int) -> None:
    for number, row in enumerate(rows, first):
        if len(row) != width:
            raise FormatError(f"row {number} has {len(row)} columns, not {width}; put texts with commas in quotes")


def fingerprints_from_rows(rows: Sequence[Any]) -> tuple[Fingerprint, ...]:
    """Return one fingerprint for each row, in order. Repeated keys are kept.

    Raises:
        InputError: the rows are keys without responses.
        FormatError: the list is empty, or a row, named by its number, is malformed.
    """
    _refuse_empty(rows)
    if all(isinstance(row, str) for row in rows):
        raise InputError("the file has keys without responses; make responses with 'insignia generate --keys-file'")
    return tuple(_fingerprint(row, number) for number, row in enumerate(rows))


def rows_from_fingerprints(fingerprints: Iterable[Fingerprint]) -> list[dict[str, Any]]:
    """Return rows as OML 1.0 reads them. Several responses become a list, as in scalable-fingerprinting."""
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
        raise FormatError(f"row {number} has an 'input' beside its key; put the whole question into one text")
    return key


def _fingerprint(row: Any, number: int) -> Fingerprint:
    key = _key(row, number)
    value = next((row[field] for field in _RESPONSE_FIELDS if field in row), None)
    responses = [value] if isinstance(value, str) else value
    if not isinstance(responses, list) or not responses or not all(isinstance(text, str) and text for text in responses):
        raise FormatError(f"row {number} has no 'response' (or 'signature') text or list of texts; expected {SHAPES}")
    asked = row.get("effective_key")
    # A few published rows were cut inside a character and end in U+FFFD: use the whole key there.
    effective = asked if isinstance(asked, str) and asked and key.startswith(asked) and asked != key else None
    return Fingerprint(key=key, effective_key=effective, responses=tuple(dict.fromkeys(responses)))
