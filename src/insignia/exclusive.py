"""Locks a path against other processes. The operating system drops the lock when the process ends."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from insignia.errors import OutputError
from insignia.files import SECRET_MODE

__all__ = ["exclusive"]


@contextlib.contextmanager
def exclusive(path: Path, what: str = "", *, wait: bool = False) -> Iterator[None]:
    """Hold the lock of a path, a file beside it, during the block. ``what`` describes the path in errors.

    Raises:
        OutputError: another process holds it and ``wait`` is off, or the folder cannot be written.
    """
    name = f"{what} {path}".strip()
    # No fallback to a soft lock, which would outlive a killed process.
    lock = FileLock(path.with_name(f".{path.name}.lock"), mode=SECRET_MODE, poll_interval=0.01, fallback_to_soft=False)
    try:
        lock.acquire(timeout=-1 if wait else 0)
    except Timeout:
        raise OutputError(f"another process is writing {name}; wait until it ends, or use another file") from None
    except OSError as error:
        raise OutputError(f"cannot write {name}: {error.strerror}") from error
    try:
        yield
    finally:
        with contextlib.suppress(PermissionError):  # Windows cannot remove an open file
            Path(lock.lock_file).unlink(missing_ok=True)  # a waiting process notices and makes a new one
        lock.release()
