"""Write shards from start to end on several threads, and digest them on the way, so that no file is read again."""

import dataclasses
import threading
from collections.abc import Mapping
from pathlib import Path

from blake3 import blake3

from insignia.checkpoints import CheckpointWriter
from insignia.vectors.stored_rows import spelled

__all__ = ["HashedWriter"]


@dataclasses.dataclass
class _Shard:
    hashed: blake3
    end: int
    """Offset of the first byte that is not written yet."""
    moved: threading.Condition = dataclasses.field(default_factory=threading.Condition)


class HashedWriter(CheckpointWriter):
    """A writer whose threads take the pieces of a shard in the order of the file; a piece waits for those before it.

    A thread that will not write what it took must ``abandon``, or others wait forever.
    """

    def __init__(self, folder: Path, headers: Mapping[str, bytes]) -> None:
        super().__init__(folder, headers)
        self._shards = {shard: _Shard(blake3(header), len(header)) for shard, header in headers.items()}
        self._abandoned = False

    def write(self, name: str, offset: int, data: memoryview) -> None:
        """Write bytes at an offset of a tensor when all before them are written. After ``abandon`` nothing is written."""
        entry = self.entries[name]
        shard = self._shards[entry.shard]
        with shard.moved:
            shard.moved.wait_for(lambda: self._abandoned or shard.end == entry.offset + offset)
            if self._abandoned:
                return
            super().write(name, offset, data)
            shard.hashed.update(data)
            shard.end += len(data)
            shard.moved.notify_all()

    def abandon(self) -> None:
        """Wake all threads: something failed, and the files stay unfinished."""
        self._abandoned = True
        for shard in self._shards.values():
            with shard.moved:
                shard.moved.notify_all()

    @property
    def digests(self) -> dict[str, str]:
        """File name -> BLAKE3 digest of each shard, once it is whole."""
        return {name: spelled(shard.hashed) for name, shard in self._shards.items()}
