"""An output folder that is written shard by shard. Shards that are whole survive a failure, so that another run goes on."""

import contextlib
import hashlib
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from insignia.errors import InputError, InsigniaError, OutputError, ReadError
from insignia.exclusive import exclusive
from insignia.files import canonical, make_folder, new_folder, read_json, refuse_existing, write_json
from insignia.progress import Progress
from insignia.terminal import counted

__all__ = ["WholeShards", "resumable_folder"]

_STATE = "shards.json"


class WholeShards:
    """The shards of an unfinished output that are whole."""

    def __init__(self, folder: Path, inputs: str) -> None:
        self.folder = folder
        self.known: dict[str, Any] = {}
        """Shard -> what was noted of it."""
        self._inputs = inputs
        self._lock = threading.Lock()

    def add(self, shard: str, about: Any) -> None:
        """Note that a shard is whole, with plain data about it. Thread-safe."""
        with self._lock:
            self.known[shard] = about
            write_json(self.folder / _STATE, {"inputs": self._inputs, "whole": self.known}, secret=True)

    def load(self, holds: Callable[[Path, Any], bool]) -> None:
        """Find the whole shards of an earlier run with the same inputs, for which ``holds`` is true; delete all other files."""
        state: Any = None
        with contextlib.suppress(InputError):  # there is none, or it is damaged
            state = read_json(self.folder / _STATE)
        found = state["whole"] if isinstance(state, dict) and state.get("inputs") == self._inputs else {}
        self.known = {shard: about for shard, about in found.items() if holds(self.folder / shard, about)}
        for path in self.folder.iterdir():
            if path.name not in (*self.known, _STATE):
                shutil.rmtree(path) if path.is_dir() else path.unlink()


@contextlib.contextmanager
def resumable_folder(
    out: Path,
    inputs: Any,
    holds: Callable[[Path, Any], bool],
    *,
    resume: bool,
    force: bool = False,
    secret: bool = False,
    progress: Progress,
) -> Iterator[WholeShards]:
    """Yield a folder that becomes ``out`` if the block succeeds. If it fails or is killed, whole shards stay beside ``out``.

    ``inputs`` is all that the result depends on, as plain data. Of a run with others, nothing is used.

    Raises:
        OutputError: as ``new_folder``, or another process writes this output.
    """
    refuse_existing(out, force=force)
    work = out.parent / f".{out.name}.shards"
    try:
        make_folder(out.parent, secret=secret)
        with exclusive(work, "the run in"):
            if not resume:
                shutil.rmtree(work, ignore_errors=True)
            work.mkdir(mode=0o700, exist_ok=True)
            shards = WholeShards(work, hashlib.sha256(canonical(inputs)).hexdigest())
            if resume:
                shards.load(holds)
                if not shards.known:
                    progress.note("no whole shard of this run was found; it starts from the beginning")
            yield from _kept_if_of_use(shards, out, force=force, secret=secret, progress=progress)
    except OSError as error:
        raise OutputError(f"cannot write {out}: {error.strerror or error}") from error


def _kept_if_of_use(shards: WholeShards, out: Path, *, force: bool, secret: bool, progress: Progress) -> Iterator[WholeShards]:
    try:
        with new_folder(out, force=force, secret=secret, kept=shards.folder):
            yield shards
            (shards.folder / _STATE).unlink(missing_ok=True)
    except BaseException as error:
        again = isinstance(error, InsigniaError) and not isinstance(error, OutputError | ReadError)  # another run fails, too
        if shards.known and not again:
            progress.note(
                f"{counted(len(shards.known), 'shard')} of the output stay in {shards.folder}; the same command with --resume"
                " goes on from there"
            )
        else:
            shutil.rmtree(shards.folder, ignore_errors=True)
        raise
