"""Write shards from start to end on several threads, and digest them on the way, so that no file is read again."""

import dataclasses
import threading
from collections.abc import Callable, Mapping
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

    A thread that will not write what it took must ``abandon``, or others wait forever. ``whole`` has the digests of shards
    that stay as they are; ``finished`` is called with each other shard, and its digest, when it is whole.
    """

    def __init__(
        self,
        folder: Path,
        headers: Mapping[str, bytes],
        whole: Mapping[str, str] | None = None,
        finished: Callable[[str, str], None] = lambda _shard, _digest: None,
    ) -> None:
        self.digests = dict(whole or {})
        """File name -> BLAKE3 digest of each shard that is whole."""
        super().__init__(folder, headers, self.digests)
        self._shards = {
            shard: _Shard(blake3(header), len(header)) for shard, header in headers.items() if shard not in self.digests
        }
        self._ends = {shard: len(header) for shard, header in headers.items()}
        self._ends.update((entry.shard, entry.offset + entry.size) for entry in self.entries.values())
        self._finished = finished
        self._abandoned = False
        for shard, state in self._shards.items():
            if state.end == self._ends[shard]:  # it has no weights
                self._finish(shard)

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
            if data and shard.end == self._ends[entry.shard]:
                self._finish(entry.shard)

    def abandon(self) -> None:
        """Wake all threads: something failed, and the files stay unfinished."""
        self._abandoned = True
        for shard in self._shards.values():
            with shard.moved:
                shard.moved.notify_all()

    def _finish(self, shard: str) -> None:
        self.digests[shard] = spelled(self._shards[shard].hashed)
        self._finished(shard, self.digests[shard])
