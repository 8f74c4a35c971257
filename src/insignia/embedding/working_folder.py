"""The folder beside the output that holds the checkpoints of an embedding while it runs."""

import contextlib
import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from accelerate import PartialState

from insignia.errors import EmbeddingError, InputError, InsigniaError, OutputError
from insignia.exclusive import exclusive
from insignia.files import make_folder, read_json, write_json
from insignia.progress import Progress
from insignia.resuming import newest_checkpoint

__all__ = ["folder_beside", "working_folder"]


def folder_beside(out: Path) -> Path:
    """Where the checkpoints of a run with this output are."""
    return out.parent / f".{out.name}.work"


@contextlib.contextmanager
def working_folder(
    out: Path | None, settings: Sequence[Any], state: PartialState, *, resume: bool, progress: Progress
) -> Iterator[Path]:
    """Create or resume the checkpoint folder. It is kept if the run is interrupted or misses its limits, else deleted.

    ``settings`` is all that the result depends on, as JSON; a run with others is not resumed. The folder keeps only
    their SHA-256.
    """
    if out is None:
        with tempfile.TemporaryDirectory(prefix="insignia-") as folder:
            yield Path(folder)
        return
    work = folder_beside(out)
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
    try:
        make_folder(out.parent)
    except OSError as error:
        raise OutputError(f"cannot write {out.parent}: {error.strerror}") from error
    with exclusive(work, "the run in") if state.is_main_process else contextlib.nullcontext():
        _begin(work, digest, state, resume=resume)
        if resume and newest_checkpoint(work) is None:
            progress.note("no checkpoint of this run was found; it starts from the beginning")
        yield from _kept_if_of_use(work, state, progress)


def _begin(work: Path, digest: str, state: PartialState, *, resume: bool) -> None:
    record = work / "run.json"
    if resume and record.is_file() and read_json(record).get("digest") != digest:
        raise InputError(f"{work} holds a run with other fingerprints, model or settings; drop --resume to start again")
    if state.is_main_process:
        if not resume:
            shutil.rmtree(work, ignore_errors=True)
        try:
            work.mkdir(parents=True, exist_ok=True)
            work.chmod(0o700)
            write_json(record, {"digest": digest})
        except OSError as error:
            raise OutputError(f"cannot write {work}: {error.strerror}") from error
    state.wait_for_everyone()


def _kept_if_of_use(work: Path, state: PartialState, progress: Progress) -> Iterator[Path]:
    resumable = True  # a kill, or a disk that was full
    try:
        yield work
        resumable = False
    except OutputError:
        raise
    except EmbeddingError:
        resumable = newest_checkpoint(work) is not None
        if resumable:
            progress.note(f"the training is kept in {work}; the same run with --resume and another limit goes on from there")
        raise
    except InsigniaError:
        resumable = False  # a resumed run would fail again
        raise
    finally:
        if state.is_main_process and not resumable:
            shutil.rmtree(work, ignore_errors=True)
