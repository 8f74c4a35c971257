"""How long work reports itself, so that no stage knows whether a terminal, a log file or nobody is watching."""

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Protocol

__all__ = ["SILENT", "Progress"]


class Progress(Protocol):
    """What a stage tells its watcher."""

    def bar(self, label: str, total: int | None) -> AbstractContextManager[Callable[[int, str], None]]:
        """A bar of ``total`` units (None: unknown) that the yielded ``advance(units, remark)`` moves."""
        ...

    def note(self, text: str) -> None:
        """One line of information; never a secret."""
        ...


class _Silent:
    @contextlib.contextmanager
    def bar(self, label: str, total: int | None) -> Iterator[Callable[[int, str], None]]:
        del label, total
        yield lambda _units, _remark: None

    def note(self, text: str) -> None:
        del text


SILENT: Progress = _Silent()
"""The library's default: no output."""
