"""Progress reports of long stages. A stage does not know whether they go to a terminal, a log file or nowhere."""

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Protocol

__all__ = ["SILENT", "Progress"]


class Progress(Protocol):
    """Receives the progress of a stage."""

    def bar(self, label: str, total: int | None) -> AbstractContextManager[Callable[[int, str], None]]:
        """Show a bar of ``total`` units (None: unknown). The context yields ``advance(units, remark)``."""
        ...

    def note(self, text: str) -> None:
        """Show one line of text. It must not hold a secret."""
        ...


class _Silent:
    @contextlib.contextmanager
    def bar(self, label: str, total: int | None) -> Iterator[Callable[[int, str], None]]:
        yield lambda _units, _remark: None

    def note(self, text: str) -> None:
        pass


SILENT: Progress = _Silent()
"""Shows nothing."""
