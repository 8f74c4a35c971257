"""Which keys were shown to whom: a key that somebody has seen proves nothing any more, for they may answer or avoid it.

The ledger is a file beside the set, ``prints.ledger.jsonl`` for ``prints.json`` and ``prints.age``, a line for each time
that keys were shown. It has no secrets: fingerprints stand in it by number, the set by a digest. Keys are written down
before they are shown, so a line that a crash cut short is one whose keys nobody saw.
"""

import contextlib
import datetime
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, BinaryIO

from pydantic import Field, ValidationError

from insignia.errors import FormatError, InputError, OutputError
from insignia.exclusive import exclusive
from insignia.files import SECRET_MODE, read_bytes
from insignia.fingerprints.sets import FingerprintSet
from insignia.records import Record
from insignia.terminal import counted

__all__ = [
    "FEW_LEFT",
    "Ledger",
    "LedgerEntry",
    "digest_of_set",
    "ledger_path",
    "open_ledger",
    "read_entries",
    "record",
    "share",
    "spent",
]

FEW_LEFT = 40
"""With fewer unspent keys it is time for a new set: where 30 % of a mark survived, half of all proofs take 39 or more
(``insignia.statistics.betting.STAKES``)."""


class LedgerEntry(Record):
    """Keys that were shown to somebody at one time: a line of the ledger."""

    time: str
    """UTC, ISO 8601."""
    set: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    """Digest of the set that the numbers are of, its secret included."""
    numbers: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)]
    to: Annotated[str, Field(min_length=1)]


class Ledger:
    """The open ledger of one set; while it is open, nobody else writes to it."""

    def __init__(self, path: Path, file: BinaryIO, prints: FingerprintSet) -> None:
        self._path = path
        self._file = file
        self._size = len(prints)
        self._set = digest_of_set(prints)

    def entries(self) -> tuple[LedgerEntry, ...]:
        """Every time that keys of this set were shown; what was said of another set of the same name is left out.

        Raises:
            FormatError: a line is damaged; it is named by its number.
        """
        return tuple(before_send for before_send in self._lines() if before_send.set == self._set)

    def spent(self) -> frozenset[int]:
        """The numbers of the keys that somebody was shown."""
        return frozenset(number for before_send in self.entries() for number in before_send.numbers)

    def unspent(self) -> tuple[int, ...]:
        """The numbers of the keys that nobody was shown, in order."""
        spent = self.spent()
        return tuple(number for number in range(self._size) if number not in spent)

    def record(self, numbers: Iterable[int], *, to: str) -> None:
        """Write down that these keys are shown to ``to``; it is on the disk when this returns.

        Raises:
            InputError: there is no such key, none at all, or no name.
            OutputError: the disk is full.
        """
        shown = tuple(numbers)
        if not to or not shown or not all(0 <= number < self._size for number in shown):
            raise InputError(f"expected a name, and numbers from 0, below {self._size}, of the keys that are shown")
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        line = json.dumps(LedgerEntry(time=now, set=self._set, numbers=shown, to=to).model_dump(mode="json"))
        try:
            self._file.truncate(len(self._whole_lines()))  # a line that was cut short would spoil ours
            self._file.seek(0, os.SEEK_END)
            self._file.write(line.encode() + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise OutputError(f"cannot write {self._path}: {error.strerror}") from error

    def _lines(self) -> Iterator[LedgerEntry]:
        return _parsed(self._whole_lines(), self._path)

    def _whole_lines(self) -> bytes:
        self._file.seek(0)
        return _whole(self._file.read())


def read_entries(path: Path) -> tuple[LedgerEntry, ...]:
    """Every entry of a ledger file, of whatever sets."""
    return tuple(_parsed(_whole(read_bytes(path)), path))


def _whole(content: bytes) -> bytes:
    """The lines that were written to their end."""
    return content[: content.rfind(b"\n") + 1]


def _parsed(content: bytes, path: Path) -> Iterator[LedgerEntry]:
    for number, line in enumerate(content.splitlines(), 1):
        try:
            yield LedgerEntry.model_validate_json(line)
        except ValidationError:
            raise FormatError(
                f"{path}: line {number} is damaged; mend or remove it: the keys that it names are spent"
            ) from None


def ledger_path(prints: Path) -> Path:
    """The ledger's place; a set has the same one locked and plain."""
    plain = prints.with_suffix("") if prints.suffix == ".age" else prints
    return prints.with_name(plain.name.removesuffix(".json") + ".ledger.jsonl")


@contextlib.contextmanager
def open_ledger(path: Path, prints: FingerprintSet) -> Iterator[Ledger]:
    """The ledger of the set that was read from ``path``, made if need be, with mode 0600; waits for others to close it.

    ``prints`` must be the whole set: of a part the numbers would be others.

    Raises:
        OutputError: the folder cannot be written.
    """
    place = ledger_path(path)
    try:
        handle = os.open(place, os.O_RDWR | os.O_CREAT, SECRET_MODE)
    except OSError as error:
        raise OutputError(f"cannot write {place}: {error.strerror}; keys are shown only when that can be recorded") from error
    with os.fdopen(handle, "r+b") as file, exclusive(place, wait=True):
        yield Ledger(place, file, prints)


def spent(path: Path, prints: FingerprintSet) -> frozenset[int]:
    """The numbers of the keys of a set that somebody was shown; none where there is no ledger, and none is made."""
    if not ledger_path(path).exists():
        return frozenset()
    with open_ledger(path, prints) as ledger:
        return ledger.spent()


def record(path: Path, prints: FingerprintSet, numbers: Iterable[int], *, to: str) -> None:
    """Write down, before it is done, that keys are shown to ``to``; see ``Ledger.record``."""
    with open_ledger(path, prints) as ledger:
        ledger.record(numbers, to=to)


def share(path: Path, prints: FingerprintSet, count: int, *, to: str) -> FingerprintSet:
    """A set of ``count`` keys that nobody was shown, for ``to`` alone, recorded as spent. The secret is not in it.

    Raises:
        InputError: so many are not left, or ``count`` or ``to`` is nothing; nothing is recorded then.
    """
    with open_ledger(path, prints) as ledger:
        left = ledger.unspent()
        if count > len(left):
            raise InputError(
                f"asked for: {counted(count, 'key')}; unspent: {len(left)}; share fewer, or make and embed a new set"
            )
        chosen = left[: max(count, 0)]
        ledger.record(chosen, to=to)
    return _part(prints, chosen)


def _part(prints: FingerprintSet, numbers: Sequence[int]) -> FingerprintSet:
    chosen = tuple(prints.fingerprints[number] for number in numbers)
    return prints.model_copy(update={"fingerprints": chosen, "secret": None, "chain": None, "controls": (), "decoys": ()})


def digest_of_set(prints: FingerprintSet) -> str:
    """Return the digest of a set, its secret included: it names the set and tells nothing of it."""
    content = prints.model_dump_json(include={"secret", "fingerprints"})
    return hashlib.sha256(content.encode()).hexdigest()
