"""Read and write safetensors checkpoints tensor by tensor, without holding a model in memory.

The safetensors library reads through mapped pages, which count as resident memory, and writes only from memory. This module
uses the caller's buffers at offsets of the files, from any number of threads. Names, dtypes, order and shards are those of the
files, which can differ from a loaded model's (mixtures of experts).
"""

import dataclasses
import errno
import json
import math
import os
import shutil
import threading
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from insignia.errors import ModelError, ReadError
from insignia.offset_files import OffsetFile, ReadAtOffsets

__all__ = ["INDEX", "LEFT", "RIGHT", "SECRET_KIND", "Checkpoint", "CheckpointWriter", "Entry", "header_of"]

INDEX = "model.safetensors.index.json"
LEFT, RIGHT = ".left", ".right"  # suffixes of the two factors that replace a tensor
SECRET_KIND = "insignia"  # noqa: S105  a field in the metadata of files that are secret: publishing refuses them by it
_ONLY = "model.safetensors"
_MAX_HEADER = 100_000_000  # the format's own limit
_BYTES = {  # per element
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"), 1),
    **dict.fromkeys(("I16", "U16", "F16", "BF16"), 2),
    **dict.fromkeys(("I32", "U32", "F32"), 4),
    **dict.fromkeys(("I64", "U64", "F64", "C64"), 8),
}


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """The location of a tensor: its shard and offset."""

    name: str
    dtype: str
    """safetensors' name: BF16, F32, ..."""
    shape: tuple[int, ...]
    shard: str
    offset: int
    """Offset of the first byte in the file."""

    @property
    def numel(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def columns(self) -> int:
        """Size of the last dimension; 1 for a scalar."""
        return self.shape[-1] if self.shape else 1

    @property
    def itemsize(self) -> int:
        """Bytes per element."""
        return _BYTES[self.dtype]

    @property
    def size(self) -> int:
        """Size of the tensor, in bytes."""
        return self.numel * self.itemsize


class Checkpoint:
    """The tensors of a model folder, read on demand. Use it as a context manager; it keeps files open.

    Opening it checks headers, file sizes and the index.

    Raises:
        ModelError: no safetensors, a shard is missing, damaged or truncated, or the index contradicts the shards.
    """

    remote = False
    """Whether reading waits for a network."""

    def __init__(self, folder: str | Path, *, place: Path | None = None) -> None:
        """Open the folder; errors name ``place`` instead, if given."""
        self.folder = Path(folder)
        """The folder with the index and what else goes with the weights."""
        self._place = place or self.folder
        self.headers: dict[str, bytes] = {}
        """Shard -> header bytes, up to the first tensor."""
        self.entries: dict[str, Entry] = {}
        """Name -> location, in the order of the shards and their bytes."""
        index = self._index()
        with ExitStack() as stack:
            self._files: dict[str, ReadAtOffsets] = {}
            for shard in sorted(set(index.values())) if index is not None else [self._only_shard()]:
                self._open(shard, stack)
            if index is not None:
                self._compare(index)
            self._closing = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._closing.close()

    def read_into(self, entry: Entry, offset: int, buffer: memoryview) -> None:
        """Fill the buffer with the tensor's bytes from ``offset`` on. Thread-safe.

        Raises:
            ReadError: the file became shorter or cannot be read.
        """
        try:
            count = self._files[entry.shard].read_into(buffer, entry.offset + offset)
        except OSError as error:
            raise ReadError(f"cannot read {self._place / entry.shard}: {error.strerror}") from error
        if count < len(buffer):
            raise ReadError(f"{self._place / entry.shard} became shorter during reading; copy it again")

    def read(self, entry: Entry) -> bytearray:
        """All bytes of a tensor."""
        content = bytearray(entry.size)
        self.read_into(entry, 0, memoryview(content))
        return content

    def identity(self) -> dict[str, Any]:
        """Plain data that another content would very likely not have, without reading the tensors."""
        stats = {shard: (self.folder / shard).stat() for shard in self.headers}
        return {shard: [found.st_size, found.st_mtime_ns] for shard, found in stats.items()}

    def _file(self, shard: str) -> ReadAtOffsets:
        return OffsetFile(self.folder / shard)

    def _index(self) -> dict[str, str] | None:
        path = self.folder / INDEX
        if not path.is_file():
            return None
        names = _json_object(path.read_bytes(), path).get("weight_map")
        if not isinstance(names, dict) or not names:
            raise ModelError(f"{path} has no weight_map; is it damaged?")
        for shard in names.values():
            if not isinstance(shard, str) or Path(shard).name != shard:
                raise ModelError(f"{path} names a shard outside its folder; is it damaged?")
        return names

    def _only_shard(self) -> str:
        found = sorted(path.name for path in self.folder.glob("*.safetensors"))
        if _ONLY in found:
            return _ONLY
        if not found:
            raise ModelError(
                f"{self.folder} has no safetensors weights; convert pickled weights (.bin, .pt) first, which are never read"
            )
        if len(found) > 1:
            raise ModelError(f"{self.folder} has {len(found)} safetensors files and no {INDEX}; copy the missing file")
        return found[0]

    def _open(self, shard: str, stack: ExitStack) -> None:
        path = self._place / shard
        try:
            file = self._files[shard] = stack.enter_context(self._file(shard))
            size = file.size
            length = int.from_bytes(file.read(8, 0), "little")
            if not 2 <= length <= min(_MAX_HEADER, size - 8):
                raise ModelError(f"{path} is damaged or truncated: its header should have {length} bytes; copy it again")
            header = file.read(8 + length, 0)
        except FileNotFoundError:
            raise ModelError(f"{self._place} lacks the shard {shard} that its index names; copy the missing file") from None
        except OSError as error:
            raise ModelError(f"cannot read {path}: {error.strerror}") from error
        self.headers[shard] = header
        entries, end = _entries(header, shard, path)
        if end != size:
            raise ModelError(f"{path} is damaged or truncated: it has {size} bytes but should have {end}; copy it again")
        for entry in entries:
            if entry.name in self.entries:
                raise ModelError(f"{self._place} has the tensor {entry.name} in two shards; copy the checkpoint again")
            self.entries[entry.name] = entry

    def _compare(self, index: Mapping[str, str]) -> None:
        for name, shard in index.items():
            if name not in self.entries or self.entries[name].shard != shard:
                raise ModelError(f"{self._place / shard} lacks the tensor {name}, which the index expects there; copy it again")
        if stray := sorted(set(self.entries) - set(index)):
            raise ModelError(f"{self._place / INDEX} does not list the tensor {stray[0]}; is it the index of this model?")


class CheckpointWriter:
    """Write shards of a fixed layout, in any order. Use it as a context manager; it keeps files open.

    ``headers`` are the header bytes of each shard: of a checkpoint with the same layout, or from ``header_of``. Shards in
    ``whole`` are in the folder already and stay as they are.

    Raises:
        OSError: a file cannot be created, or the disk has too little space.
    """

    def __init__(self, folder: Path, headers: Mapping[str, bytes], whole: Collection[str] = ()) -> None:
        self.entries: dict[str, Entry] = {}
        self.bytes = needed = 0
        with ExitStack() as stack:
            self._files: dict[str, OffsetFile] = {}
            self._locks = {shard: threading.Lock() for shard in headers}
            for shard, header in headers.items():
                entries, end = _entries(header, shard, folder / shard)
                self.entries.update((entry.name, entry) for entry in entries)
                self.bytes += end
                if shard not in whole:
                    file = self._files[shard] = stack.enter_context(OffsetFile(folder / shard, "xb"))
                    file.write(memoryview(header), 0)
                    needed += end
            if shutil.disk_usage(folder).free < needed:  # reserving the space would slow down writing
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if len(headers) > 1:
                self._write_index(folder)
            self._closing = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._closing.close()

    def write(self, name: str, offset: int, data: memoryview) -> None:
        """Write bytes at an offset of a tensor. Thread-safe.

        Raises:
            OSError: the write failed, for example on a full disk.
        """
        entry = self.entries[name]
        with self._locks[entry.shard]:  # the file system admits one writer per file and lets others spin
            self._files[entry.shard].write(data, entry.offset + offset)

    def sync(self, shard: str) -> int:
        """Wait until what was written of a shard is on the disk; return its size, 0 if there is no such shard."""
        if shard not in self._files:
            return 0
        self._files[shard].sync()
        return self._files[shard].size

    def _write_index(self, folder: Path) -> None:
        index = {
            "metadata": {"total_size": sum(entry.size for entry in self.entries.values())},
            "weight_map": {name: entry.shard for name, entry in self.entries.items()},
        }
        (folder / INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")


def header_of(tensors: Iterable[tuple[str, str, Sequence[int]]], **about: str) -> bytes:
    """Header bytes of a shard with tensors (name, dtype, shape) in this order; ``about`` goes into its metadata."""
    content: dict[str, Any] = {"__metadata__": {"format": "pt", **about}}
    end = 0
    for name, dtype, shape in tensors:
        start, end = end, end + math.prod(shape) * _BYTES[dtype]
        content[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(content, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # aligns the tensors
    return len(text).to_bytes(8, "little") + text


def _entries(header: bytes, shard: str, path: Path) -> tuple[list[Entry], int]:
    """(tensors in the order of their bytes, size of the whole file) from a shard's header."""
    content = _json_object(header[8:], path)
    content.pop("__metadata__", None)
    placed = []
    for name, value in content.items():
        try:
            dtype, shape, (start, end) = value["dtype"], tuple(value["shape"]), value["data_offsets"]
            whole = all(isinstance(number, int) and number >= 0 for number in (*shape, start, end))
            fits = whole and end - start == math.prod(shape) * _BYTES[dtype]
        except (TypeError, KeyError, ValueError):
            raise ModelError(f"{path}: the header's entry of {name} is damaged or has an unknown dtype") from None
        if not fits:
            raise ModelError(f"{path}: the bytes of {name} contradict its shape and dtype; is the file damaged?")
        placed.append((start, end, Entry(name, dtype, shape, shard, len(header) + start)))
    placed.sort(key=lambda item: item[:2])
    expected = 0
    for start, end, entry in placed:
        if start != expected:
            raise ModelError(f"{path}: {entry.name} overlaps another tensor or leaves a gap; is the file damaged?")
        expected = end
    return [entry for _, _, entry in placed], len(header) + expected


def _json_object(content: bytes, path: Path) -> dict[str, Any]:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise ModelError(f"{path} is damaged: expected a JSON object")
    return value
