"""Files that several threads read or write at offsets of their own."""

import os
import threading
from pathlib import Path
from types import TracebackType
from typing import Literal, Protocol, Self

__all__ = ["OffsetFile", "ReadAtOffsets"]


class ReadAtOffsets(Protocol):
    """What a checkpoint reads its shards from: a file of this machine, or of a hub. Its calls are thread-safe."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...

    @property
    def size(self) -> int:
        """Size of the file, in bytes."""

    def read_into(self, buffer: memoryview, offset: int) -> int:
        """Fill the buffer from ``offset`` on; returns the number of bytes, less than its length at the end of the file."""

    def read(self, length: int, offset: int) -> bytes:
        """The bytes from ``offset`` on, fewer at the end of the file."""


class OffsetFile:
    """An open file without a position that threads would share. Use it as a context manager.

    Windows, and a macOS before 11, have no calls that take an offset; there one thread at a time moves the position.

    Raises:
        OSError: the file cannot be opened, or exists where a new one (mode ``xb``) is wanted.
    """

    def __init__(self, path: Path, mode: Literal["rb", "xb"] = "rb") -> None:
        self._file = open(path, mode, buffering=0)  # noqa: SIM115, PTH123  closed by __exit__
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()

    @property
    def size(self) -> int:
        """Size of the file, in bytes."""
        return os.fstat(self._file.fileno()).st_size

    def read_into(self, buffer: memoryview, offset: int) -> int:
        """Fill the buffer from ``offset`` on; returns the number of bytes, less than its length at the end of the file."""
        done = 0
        while done < len(buffer) and (count := self._read_some(buffer[done:], offset + done)):
            done += count
        return done

    def read(self, length: int, offset: int) -> bytes:
        """The bytes from ``offset`` on, fewer at the end of the file."""
        content = bytearray(length)
        return bytes(content[: self.read_into(memoryview(content), offset)])

    def sync(self) -> None:
        """Wait until what was written is on the disk."""
        os.fsync(self._file.fileno())

    def write(self, data: memoryview, offset: int) -> None:
        """Write all of the data."""
        done = 0
        while done < len(data):
            done += self._write_some(data[done:], offset + done)

    def _read_some(self, buffer: memoryview, offset: int) -> int:
        if hasattr(os, "preadv"):
            count: int = os.preadv(self._file.fileno(), [buffer], offset)
            return count
        with self._lock:
            self._file.seek(offset)
            return self._file.readinto(buffer)

    def _write_some(self, data: memoryview, offset: int) -> int:
        if hasattr(os, "pwrite"):
            count: int = os.pwrite(self._file.fileno(), data, offset)
            return count
        with self._lock:
            self._file.seek(offset)
            return self._file.write(data)
