"""One process at a time: the system's lock on a file beside the one that is written, which ends with the process."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from insignia.errors import OutputError
from insignia.files import SECRET_MODE

__all__ = ["exclusive"]


@contextlib.contextmanager
def exclusive(path: Path, what: str = "", *, wait: bool = False) -> Iterator[None]:
    """While this lasts, no other process is in it for the same ``path``. ``what`` names the file in errors.

    Raises:
        OutputError: another process is in it and ``wait`` is off, or the folder cannot be written.
    """
    name = f"{what} {path}".strip()
    # No fallback to a soft lock: that one would outlive a killed process.
    lock = FileLock(path.with_name(f".{path.name}.lock"), mode=SECRET_MODE, poll_interval=0.01, fallback_to_soft=False)
    try:
        lock.acquire(timeout=-1 if wait else 0)
    except Timeout:
        raise OutputError(f"another process is writing {name}; wait until it ends, or name another file") from None
    except OSError as error:
        raise OutputError(f"cannot write {name}: {error.strerror}") from error
    try:
        yield
    finally:
        with contextlib.suppress(PermissionError):  # Windows removes no open file
            Path(lock.lock_file).unlink(missing_ok=True)  # who waits for it sees that it is gone, and makes a new one
        lock.release()
