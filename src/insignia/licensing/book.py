"""The book of licensees: who was given a copy, in the order of issue.

The file stands beside the fingerprint set, ``prints.licensees.jsonl`` for ``prints.json`` and ``prints.age``: a header with the
code, then a line when a copy is begun and one when it is whole. It has names and digests and no secret: code words come from
the set's secret. A copy is written down before it is made, so nobody can hold one who is not in the book.
"""

import contextlib
import datetime
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, BinaryIO, Literal

from pydantic import Field, ValidationError

from insignia.errors import FormatError, InputError, OutputError
from insignia.exclusive import exclusive
from insignia.files import SECRET_MODE
from insignia.keyring.kept_set import KeptSet
from insignia.keyring.ledger import digest_of_set
from insignia.licensing.codes import USUAL_COLLUDERS, Code, checked_name
from insignia.records import Digest, Record
from insignia.registry import explain
from insignia.terminal import counted

__all__ = ["Book", "BookHeader", "Issue", "book_path", "open_book"]


class BookHeader(Record):
    """The first line of a book."""

    kind: Literal["insignia/licensees"] = "insignia/licensees"
    schema_version: Literal[1] = 1
    set: Digest
    """Digest of the set, its secret included, as in the ledger."""
    code: Code


class Issue(Record):
    """A copy that was begun, or with ``weights`` one that is whole."""

    time: str
    """UTC, ISO 8601."""
    licensee: Annotated[str, Field(min_length=1)]
    weights: dict[str, str] | None = None
    """File name -> BLAKE3 digest of each safetensors file of the copy."""


class Book:
    """The open book of one set; while it is open, nobody else writes to it."""

    def __init__(self, path: Path, file: BinaryIO, code: Code, issues: Iterable[Issue]) -> None:
        self._path = path
        self._file = file
        self.code = code
        self.copies: dict[str, list[Issue]] = {}
        """Licensee -> the whole copies that they were given, in the order in which licensees were first written down."""
        for issue in issues:
            self._add(issue)

    def begin(self, name: str, *, again: bool) -> None:
        """Write down that a copy for this licensee is being made; it is on the disk when this returns.

        Raises:
            InputError: the name cannot be one, or has a copy and ``again`` is off.
            OutputError: the disk is full.
        """
        if self.copies.get(checked_name(name)) and not again:
            raise InputError(
                f"{name} was given a copy already; choose another name for another licensee, or pass --again for a further copy"
                " of theirs, which has the same blocks"
            )
        self._write(name, None)

    def finish(self, name: str, weights: Mapping[str, str]) -> None:
        """Write down that the copy is whole, with the digests of its files."""
        self._write(name, dict(weights))

    def _write(self, name: str, weights: dict[str, str] | None) -> None:
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        issue = Issue(time=now, licensee=name, weights=weights)
        _append(self._file, self._path, issue)
        self._add(issue)

    def _add(self, issue: Issue) -> None:
        copies = self.copies.setdefault(issue.licensee, [])
        if issue.weights is not None:
            copies.append(issue)


def book_path(prints: Path) -> Path:
    """The book's place; a set has the same one locked and plain."""
    plain = prints.with_suffix("") if prints.suffix == ".age" else prints
    return prints.with_name(plain.name.removesuffix(".json") + ".licensees.jsonl")


@contextlib.contextmanager
def open_book(kept: KeptSet, *, blocks: int | None = None, colluders: int | None = None) -> Iterator[Book]:
    """The book of a set, begun with a code of so many ``blocks`` if there is none; waits for others to close it.

    Raises:
        InputError: the set is in memory alone, there is no book and no ``blocks``, or the book has another code.
        FormatError: the book is another set's, or damaged.
        OutputError: the folder cannot be written.
    """
    if kept.path is None:
        raise InputError("licensees are written in a book beside the set, and this set is in memory alone; save it first")
    place = book_path(kept.path)
    if blocks is None and not place.exists():
        raise InputError(f"there is no {place}: no copy was issued with this set; see 'insignia issue'")
    try:
        handle = os.open(place, os.O_RDWR | os.O_CREAT, SECRET_MODE)
    except OSError as error:
        raise OutputError(f"cannot write {place}: {error.strerror}") from error
    with os.fdopen(handle, "r+b") as file, exclusive(place, wait=True):
        content = file.read()
        whole = content[: content.rfind(b"\n") + 1]
        file.truncate(len(whole))  # a line that a crash cut short: no copy was made after it
        first, *lines = whole.splitlines() or [b""]
        header = _header(first, place) if first else _begun(file, place, kept, blocks, colluders)
        if header.set != digest_of_set(kept.prints):
            raise FormatError(f"{place} is the book of another set; use the set that the copies were issued with")
        if blocks not in {None, header.code.blocks} or colluders not in {None, header.code.colluders}:
            begun = f"{counted(header.code.blocks, 'block')} and {counted(header.code.colluders, 'colluder')}"
            raise InputError(f"{place} was begun for {begun}; a code is the same for all licensees of a set")
        yield Book(place, file, header.code, [_issue(line, place, number) for number, line in enumerate(lines, 2)])


def _begun(file: BinaryIO, path: Path, kept: KeptSet, blocks: int | None, colluders: int | None) -> BookHeader:
    if blocks is None:
        raise FormatError(f"{path} has no header; remove it, since no copy was issued")
    code = Code(blocks=blocks, colluders=colluders or USUAL_COLLUDERS)
    header = BookHeader(set=digest_of_set(kept.prints), code=code)
    _append(file, path, header)
    return header


def _header(line: bytes, path: Path) -> BookHeader:
    try:
        return BookHeader.model_validate_json(line)
    except ValidationError as error:
        raise FormatError(f"{path} is not a book of licensees: {explain(error)}") from None


def _issue(line: bytes, path: Path, number: int) -> Issue:
    try:
        return Issue.model_validate_json(line)
    except ValidationError:
        raise FormatError(f"{path}: line {number} is damaged; mend it: licensees that are not read cannot be named") from None


def _append(file: BinaryIO, path: Path, record: Record) -> None:
    line = json.dumps(record.model_dump(mode="json", exclude_none=True), ensure_ascii=False, separators=(",", ":"))
    try:
        file.seek(0, os.SEEK_END)
        file.write(line.encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}") from error
