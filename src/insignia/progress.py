"""Progress reports of long stages. A stage does not know whether they go to a terminal, a notebook, a log file or nowhere."""

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from insignia.terminal import printable

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["AUTO", "SILENT", "ConsoleProgress", "Progress", "quiet"]

_PLAIN_INTERVAL_S = 5.0  # between lines where there is no terminal to draw a bar on


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


class ConsoleProgress:
    """Progress as a bar in a terminal or a notebook, as plain lines elsewhere; nothing where ``quiet``."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet

    @cached_property
    def _console(self) -> "Console":
        from rich.console import Console  # noqa: PLC0415  # not for those who watch nothing

        return Console(stderr=True)

    def bar(self, label: str, total: int | None) -> AbstractContextManager[Callable[[int, str], None]]:
        """See ``Progress.bar``."""
        if self._quiet:
            return SILENT.bar(label, total)
        rich = self._console.is_terminal or self._console.is_jupyter
        return self._rich_bar(label, total) if rich else self._plain_lines(label, total)

    def note(self, text: str) -> None:
        """One line on standard error."""
        if not self._quiet:
            self._console.print(printable(text), highlight=False, markup=False)

    @contextlib.contextmanager
    def _rich_bar(self, label: str, total: int | None) -> Iterator[Callable[[int, str], None]]:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

        columns = (
            TextColumn("{task.description:<12}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[remark]}"),
        )
        with Progress(*columns, console=self._console, transient=True) as progress:
            task = progress.add_task(printable(label), total=total, remark="")
            yield lambda units, remark: progress.update(task, advance=units, remark=printable(remark))

    @contextlib.contextmanager
    def _plain_lines(self, label: str, total: int | None) -> Iterator[Callable[[int, str], None]]:
        done = 0
        last = time.monotonic()

        def advance(units: int, remark: str) -> None:
            nonlocal done, last
            done += units
            if time.monotonic() - last >= _PLAIN_INTERVAL_S:
                last = time.monotonic()
                self.note(f"{label}: {done}{f' of {total}' if total else ''} {remark}".rstrip())

        yield advance


class _Automatic:
    """A bar where somebody watches: in a terminal or a notebook, on the first process of several, unless quiet."""

    def __init__(self) -> None:
        self.quiet = False

    def __repr__(self) -> str:
        return "AUTO"

    def bar(self, label: str, total: int | None) -> AbstractContextManager[Callable[[int, str], None]]:
        return self._chosen().bar(label, total)

    def note(self, text: str) -> None:
        self._chosen().note(text)

    def _chosen(self) -> Progress:
        shell = sys.modules.get("IPython")
        notebook = shell is not None and type(shell.get_ipython()).__name__ == "ZMQInteractiveShell"
        watched = notebook or (sys.stderr is not None and sys.stderr.isatty())
        return ConsoleProgress() if watched and not self.quiet and os.environ.get("RANK", "0") == "0" else SILENT


SILENT: Progress = _Silent()
"""Shows nothing."""

AUTO = _Automatic()
"""The default: shows progress in a terminal or a notebook, and nothing elsewhere."""


def quiet() -> AbstractContextManager[object]:
    """Hide progress from here on; ``with insignia.quiet():`` hides it for a block."""
    before, AUTO.quiet = AUTO.quiet, True
    undo = contextlib.ExitStack()
    undo.callback(setattr, AUTO, "quiet", before)
    return undo
