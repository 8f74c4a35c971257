"""What was asked and what came back, line by line as it happens: evidence, and the way to go on after a kill.

JSON lines. Each holds the SHA-256 of the line before it, so that none can be changed, taken out or moved without changing
all that follow; the digest of the last stands for the whole. The file holds keys and replies: mode 0600.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal, Self, TypeVar

from pydantic import Field, ValidationError, model_validator

from insignia.errors import FormatError, InputError, OutputError
from insignia.exclusive import exclusive
from insignia.files import SECRET_MODE, canonical, make_folder, read_text
from insignia.records import Provenance, Record
from insignia.registry import explain
from insignia.statistics.nulls import MIN_PROBABILITY, AnyNull
from insignia.suspects.base import Reply, RequestOptions
from insignia.verification.matching import Match

__all__ = ["Entry", "Header", "Rules", "Transcript", "read_lines", "sole_writer"]

MAX_LOOKS = 256  # words of a reply; beyond, no null says anything

_Line = TypeVar("_Line", bound=Record)

_NOTHING_BEFORE = "0" * 64


class Rules(Record):
    """What was fixed before the first question, so that nobody can choose it to fit the replies."""

    null: AnyNull
    alpha: Annotated[float, Field(ge=MIN_PROBABILITY, lt=1)] = 1e-6
    """The chance of accusing any innocent suspect, all suspects together."""
    suspects: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    survival: Annotated[float, Field(ge=1e-6, le=1 - 1e-6)] = 0.3
    futility: Annotated[float, Field(ge=MIN_PROBABILITY, lt=1)] = 0.01
    match: Match = Match()
    manner: RequestOptions = RequestOptions()
    cover: Annotated[float, Field(ge=0, le=0.9)] = 0.5
    """The share of cover questions among all that are asked."""

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        """No number of a stranger's file may size a loop or an allocation unbounded."""
        if self.match.looks > MAX_LOOKS:
            raise ValueError(f"at most {MAX_LOOKS} words of a reply can be looked at")
        if not self.manner.temperature <= 100:
            raise ValueError("the temperature is no number up to 100")
        if self.manner.max_tokens > 65_536 or len(self.manner.system or "") > 100_000 or abs(self.manner.seed or 0) >= 2**63:
            raise ValueError("too many tokens, too long a system prompt or too large a seed to ask with")
        return self


class Header(Record):
    """The first line."""

    kind: Literal["insignia/transcript"] = "insignia/transcript"
    schema_version: Literal[1] = 1
    suspect: Annotated[str, Field(max_length=4_096)]
    """Its name, as it was given."""
    rules: Rules
    spared: tuple[int, ...] = ()
    """Numbers of the fingerprints that were left alone, because somebody knows their keys."""
    provenance: Provenance
    previous: str = _NOTHING_BEFORE


class Entry(Record):
    """A question and what became of it."""

    number: Annotated[int, Field(ge=0)] | None
    """Of the fingerprint in its set; None for a cover question."""
    question: Annotated[str, Field(repr=False)]
    reply: Reply
    previous: str


class Transcript:
    """A header and the entries so far, in memory or in a file as well."""

    def __init__(self, header: Header, *, file: Path | None = None) -> None:
        """Begin one; a file must not exist yet, and appears with its header.

        Raises:
            OutputError: the file exists or cannot be written.
        """
        self.header = header
        self.entries: list[Entry] = []
        self._file = file
        self._head = _NOTHING_BEFORE
        self._whole = 0  # bytes of finished lines in a file that was loaded
        self._write(header, mode="xb")

    @classmethod
    def load(cls, file: Path) -> "Transcript":
        """Read one to judge it or to go on with it. What a kill left of a last line is cut off when it is gone on with.

        Raises:
            InputError: there is no such file.
            FormatError: it is no transcript, or a line was changed, lost or moved.
        """
        text = read_text(file, expected="a transcript")
        lines = text.split("\n")[:-1]  # what follows the last end of line was not finished
        with _naming(file):
            if not lines:
                raise FormatError("holds no finished line; expected a transcript of 'insignia verify'")
            header, entries = read_lines(lines)
            self = cls(header)
            self.entries.extend(entries)
            self._head = _digest(lines[-1])
        self._file = file
        self._whole = len("".join(f"{line}\n" for line in lines).encode())
        return self

    @property
    def digest(self) -> str:
        """``sha256:...`` of the last line, which depends on all."""
        return f"sha256:{self._head}"

    def resume(self) -> None:
        """Make the file ready to be gone on with.

        Raises:
            OutputError: it cannot be written.
        """
        if self._file is not None:
            with _writing(self._file):
                os.truncate(self._file, self._whole)

    def append(self, number: int | None, question: str, reply: Reply) -> Entry:
        """Add an entry; it is on the disk when this returns.

        Raises:
            OutputError: the file cannot be written.
        """
        entry = Entry(number=number, question=question, reply=reply, previous=self._head)
        self._write(entry, mode="ab")
        self.entries.append(entry)
        return entry

    def _write(self, record: Header | Entry, *, mode: Literal["xb", "ab"]) -> None:
        line = json.dumps(record.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        if self._file is not None:
            with _writing(self._file):
                make_folder(self._file.parent, secret=True)
                with open(self._file, mode, opener=lambda path, flags: os.open(path, flags, SECRET_MODE)) as out:
                    out.write(f"{line}\n".encode("ascii"))
                    out.flush()
                    os.fsync(out.fileno())
        self._head = _digest(line)


@contextlib.contextmanager
def sole_writer(file: Path | None) -> Iterator[None]:
    """While this lasts, no other process writes the transcript (None: it is in memory). Load it in here to continue it.

    Raises:
        OutputError: another process is writing it, or the folder cannot be written.
    """
    if file is None:
        yield
        return
    with _writing(file):
        make_folder(file.parent, secret=True)
    with exclusive(file, "the transcript"):
        yield


def read_lines(lines: Sequence[str]) -> tuple[Header, tuple[Entry, ...]]:
    """What the lines of a transcript say, each of which must be spelled as it was written and follow the line before it.

    Raises:
        FormatError: a line is none of a transcript, or was changed, lost or moved.
    """
    header, entries = _parse(Header, lines[0]), tuple(_parse(Entry, line) for line in lines[1:])
    records: tuple[Header | Entry, ...] = (header, *entries)
    previous = _NOTHING_BEFORE
    for number, (record, line) in enumerate(zip(records, lines, strict=True), 1):
        if record.previous != previous:
            raise FormatError(f"line {number} does not follow the line before it; was the transcript edited?")
        previous = _digest(line)
    return header, entries


def _parse(kind: type[_Line], line: str) -> _Line:
    """Strictly: a truth value is no number, a text is no number, and the spelling is the one we write."""
    try:
        value = json.loads(line)
        old = kind is Header and "fold" not in value["rules"]["match"]
        if old:  # version 0.1.0 folded white space alone, and did not say so
            value["rules"]["match"]["fold"] = "spaces"
        record = kind.model_validate_json(canonical(value), strict=True)
    except ValidationError as error:
        raise FormatError(f"not a line of a transcript: {explain(error)}") from None
    except (ValueError, KeyError, TypeError, RecursionError):  # no JSON, or none of an object
        raise FormatError("not a line of a transcript: not JSON, or another object") from None
    plain = record.model_dump(mode="json")
    if old:
        del plain["rules"]["match"]["fold"]
    if canonical(plain) != line.encode():
        raise FormatError("not a line of a transcript as 'insignia verify' writes it: another spelling, or fields left out")
    return record


def _digest(line: str) -> str:
    return hashlib.sha256(line.encode()).hexdigest()


@contextlib.contextmanager
def _naming(file: Path) -> Iterator[None]:
    try:
        yield
    except InputError as error:
        raise type(error)(f"{file}: {error}") from None


@contextlib.contextmanager
def _writing(file: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(f"cannot write the transcript {file}: {error.strerror}") from error
