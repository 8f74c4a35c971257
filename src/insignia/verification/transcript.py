"""Transcripts: questions and replies as JSON lines, written as they happen. They are evidence and let a run resume.

Each line holds the SHA-256 of the line before it, so no line can be changed, removed or moved without changing all later
ones; the digest of the last line stands for all. The file has keys and replies, so its mode is 0600.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, Self, TypeVar

from pydantic import Field, ValidationError, model_validator

from insignia.errors import FormatError, OutputError
from insignia.exclusive import exclusive
from insignia.files import SECRET_MODE, canonical, make_folder, read_text
from insignia.records import Provenance, Record
from insignia.registry import errors_about, explain
from insignia.statistics.nulls import MIN_PROBABILITY, AnyNull
from insignia.suspects.base import Channel, Reply, RequestOptions
from insignia.verification.matching import Match

__all__ = ["Entry", "Header", "Recorded", "Rules", "Transcript", "finished_lines", "read_lines", "sole_writer"]

MAX_LOOKS = 256  # words of a reply; with more, every null is too weak

_Line = TypeVar("_Line", bound=Record)

_FIRST = "0" * 64


class Rules(Record):
    """The rules of a test. They are fixed before the first question, so that they cannot be fitted to the replies."""

    null: AnyNull
    alpha: Annotated[float, Field(ge=MIN_PROBABILITY, lt=1)] = 1e-6
    """Largest probability of accusing any innocent suspect, over all suspects together."""
    suspects: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    """Number of suspects that share alpha."""
    survival: Annotated[float, Field(ge=1e-6, le=1 - 1e-6)] = 0.3
    """Share of hits below which the mark counts as not shown."""
    futility: Annotated[float, Field(ge=MIN_PROBABILITY, lt=1)] = 0.01
    """Largest probability of giving up on a model with a hit rate of at least ``survival``."""
    match: Match = Match()
    manner: RequestOptions = RequestOptions()
    cover: Annotated[float, Field(ge=0, le=0.9)] = 0.5
    """Share of decoy questions, at most 0.9."""
    channel: Annotated[Channel, Field(exclude_if=lambda value: value == "text")] = "text"
    """The strongest channel to ask by. A key may be asked by a weaker one, and all later keys then are too."""

    @model_validator(mode="after")
    def _weighs_candidates(self) -> Self:
        if self.channel != "text" and (self.null.name != "design" or self.match.looks > 1):
            raise ValueError("channels other than 'text' need a design null, and a response at the beginning of the reply")
        return self

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        """Limit the work that an untrusted file can cause."""
        if self.match.looks > MAX_LOOKS:
            raise ValueError(f"match looks at more than {MAX_LOOKS} words")
        if not self.manner.temperature <= 100:
            raise ValueError("the temperature is above 100")
        if self.manner.max_tokens > 65_536 or len(self.manner.system or "") > 100_000 or abs(self.manner.seed or 0) >= 2**63:
            raise ValueError("max_tokens, the system prompt or the seed is too large")
        return self


class Header(Record):
    """The first line of a transcript."""

    kind: Literal["insignia/transcript"] = "insignia/transcript"
    schema_version: Literal[1] = 1
    suspect: Annotated[str, Field(max_length=4_096)]
    """Name of the suspect."""
    rules: Rules
    spared: tuple[int, ...] = ()
    """Numbers of the fingerprints that were not asked because their keys are known to others."""
    provenance: Provenance
    previous: str = _FIRST
    """64 zeros."""


class Entry(Record):
    """A question and its reply."""

    number: Annotated[int, Field(ge=0)] | None
    """Number of the fingerprint in its set; None for a decoy question."""
    question: Annotated[str, Field(repr=False)]
    reply: Reply
    previous: str
    """SHA-256 of the line before, as hexadecimal."""


class Recorded(NamedTuple):
    """The content of a transcript whose hash chain is intact."""

    header: Header
    entries: tuple[Entry, ...]
    digest: str
    """``sha256:...`` of the last line."""

    @property
    def numbers(self) -> tuple[int, ...]:
        """Numbers of the fingerprints asked, in order."""
        return tuple(entry.number for entry in self.entries if entry.number is not None)


class Transcript:
    """A header and the entries so far, in memory and optionally in a file."""

    def __init__(self, header: Header, *, file: Path | None = None) -> None:
        """Start a transcript and write its header to ``file``, which must not exist yet.

        Raises:
            OutputError: the file exists or cannot be written.
        """
        self.header = header
        self.entries: list[Entry] = []
        self._file = file
        self._head = _FIRST
        self._whole = 0  # bytes of finished lines in a loaded file
        self._write(header, mode="xb")

    @classmethod
    def load(cls, file: Path) -> "Transcript":
        """Read a transcript to judge or resume it.

        Raises:
            InputError: the file does not exist.
            FormatError: it is not a transcript, or a line was changed, removed or moved.
        """
        lines = finished_lines(file)
        with errors_about(file):
            recorded = read_lines(lines)
        self = cls(recorded.header)
        self.entries.extend(recorded.entries)
        self._head = _digest(lines[-1])
        self._file = file
        self._whole = len("".join(f"{line}\n" for line in lines).encode())
        return self

    @property
    def digest(self) -> str:
        """``sha256:...`` of the last line."""
        return f"sha256:{self._head}"

    def resume(self) -> None:
        """Prepare the file for appending: cut off the unfinished line of a killed run.

        Raises:
            OutputError: the file cannot be written.
        """
        if self._file is not None:
            with _writing(self._file):
                os.truncate(self._file, self._whole)

    def append(self, number: int | None, question: str, reply: Reply) -> Entry:
        """Add an entry. It is on disk when this returns.

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
    """Lock the transcript (None: it is in memory) against other processes. Load it inside this block to resume it.

    Raises:
        OutputError: another process holds the lock, or the folder cannot be written.
    """
    if file is None:
        yield
        return
    with _writing(file):
        make_folder(file.parent, secret=True)
    with exclusive(file, "the transcript"):
        yield


def finished_lines(file: Path) -> tuple[str, ...]:
    """Return the finished lines of a transcript file; a killed run may leave an unfinished one.

    Raises:
        InputError: the file does not exist.
        FormatError: the file is not text.
    """
    return tuple(read_text(file, expected="a transcript").split("\n")[:-1])


def read_lines(lines: Sequence[str]) -> Recorded:
    """Parse the lines of a transcript and check their hash chain.

    Raises:
        FormatError: a line is malformed, changed, removed or moved, or there is none.
    """
    if not lines:
        raise FormatError("there is no finished line; expected a transcript of 'insignia verify'")
    header, entries = _parse(Header, lines[0]), tuple(_parse(Entry, line) for line in lines[1:])
    records: tuple[Header | Entry, ...] = (header, *entries)
    previous = _FIRST
    for number, (record, line) in enumerate(zip(records, lines, strict=True), 1):
        if record.previous != previous:
            raise FormatError(f"line {number} does not follow the line before it; was the transcript edited?")
        previous = _digest(line)
    return Recorded(header, entries, f"sha256:{previous}")


def _parse(kind: type[_Line], line: str) -> _Line:
    """Parse strictly: no type coercion, and only the canonical spelling."""
    try:
        value = json.loads(line)
        old = kind is Header and "fold" not in value["rules"]["match"]
        if old:  # version 0.1.0 folded white space only and did not store it
            value["rules"]["match"]["fold"] = "spaces"
        record = kind.model_validate_json(canonical(value), strict=True)
    except ValidationError as error:
        raise FormatError(f"not a line of a transcript: {explain(error)}") from None
    except (ValueError, KeyError, TypeError, RecursionError):  # not JSON, or another object
        raise FormatError("not a line of a transcript: not JSON, or another object") from None
    plain = record.model_dump(mode="json")
    if old:
        del plain["rules"]["match"]["fold"]
    if canonical(plain) != line.encode():
        raise FormatError("not a line as 'insignia verify' writes it: the spelling differs, or fields are missing")
    return record


def _digest(line: str) -> str:
    return hashlib.sha256(line.encode()).hexdigest()


@contextlib.contextmanager
def _writing(file: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(f"cannot write the transcript {file}: {error.strerror}") from error
