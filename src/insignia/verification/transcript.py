"""What was asked and what came back, line by line as it happens: evidence, and the way to go on after a kill.

JSON lines. Each holds the SHA-256 of the line before it, so that none can be changed, taken out or moved without changing
all that follow; the digest of the last stands for the whole. The file holds keys and replies: mode 0600.
"""

import contextlib
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import Field, ValidationError

from insignia.errors import FormatError, InputError, OutputError
from insignia.files import SECRET_MODE, make_folder, read_text
from insignia.models.base import Manner, Reply
from insignia.registry import explain
from insignia.types import Provenance, Record
from insignia.verification.matching import Match
from insignia.verification.null import AnyNull

__all__ = ["Entry", "Header", "Rules", "Transcript", "sole_writer"]

_Line = TypeVar("_Line", bound=Record)

_NOTHING_BEFORE = "0" * 64


class Rules(Record):
    """What was fixed before the first question, so that nobody can choose it to fit the replies."""

    null: AnyNull
    alpha: Annotated[float, Field(gt=0, lt=1)] = 1e-6
    """The chance of accusing any innocent suspect, all suspects together."""
    suspects: Annotated[int, Field(ge=1)] = 1
    survival: Annotated[float, Field(gt=0, lt=1)] = 0.3
    futility: Annotated[float, Field(gt=0, lt=1)] = 0.01
    match: Match = Match()
    manner: Manner = Manner()
    cover: Annotated[float, Field(ge=0, le=0.9)] = 0.5
    """The share of cover questions among all that are asked."""


class Header(Record):
    """The first line."""

    kind: Literal["insignia/transcript"] = "insignia/transcript"
    schema_version: Literal[1] = 1
    suspect: str
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
            self = cls(_parse(Header, lines[0]))
            self._head = _digest(lines[0])
            for number, line in enumerate(lines[1:], 2):
                entry = _parse(Entry, line)
                if entry.previous != self._head:
                    raise FormatError(f"line {number} does not follow the line before it; was the file edited?")
                self.entries.append(entry)
                self._head = _digest(line)
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
    """While this lasts no other process writes the transcript (None: it is in memory). It is read in here to be gone on with.

    The lock is on a file beside it, and the system's: it ends with the process, and the file of a killed run locks nothing.

    Raises:
        OutputError: another process is writing it, or the folder cannot be written.
    """
    if file is None:
        yield
        return
    beside = file.with_name(f".{file.name}.lock")
    with _writing(file):
        make_folder(file.parent, secret=True)
        handle = os.open(beside, os.O_RDWR | os.O_CREAT, SECRET_MODE)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            held = os.path.samestat(os.fstat(handle), beside.stat())  # and not of one who just left, and removed it
        except (BlockingIOError, FileNotFoundError):
            held = False
        if not held:
            raise OutputError(f"another process is writing the transcript {file}; wait until it ends, or name another file")
        try:
            yield
        finally:
            beside.unlink(missing_ok=True)
    finally:
        os.close(handle)


def _parse(kind: type[_Line], line: str) -> _Line:
    try:
        return kind.model_validate_json(line)
    except ValidationError as error:
        raise FormatError(f"not a line of a transcript: {explain(error)}") from None


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
