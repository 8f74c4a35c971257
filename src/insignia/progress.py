"""Progress reports of long stages. A stage does not know whether they go to a terminal, a notebook, a log file or nowhere."""

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from functools import cached_property
from typing import TYPE_CHECKING, Protocol, Self

from insignia.terminal import printable, size

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["AUTO", "SILENT", "Advance", "ConsoleProgress", "Phases", "Progress", "quiet"]

_FIRST_REMINDER_S = 30.0  # a phase that takes longer says so where there is no terminal, each time after twice as long


class Advance(Protocol):
    """Reports work done within a phase."""

    def __call__(self, units: int = 1, remark: str = "", *, total: int | None = None) -> None:
        """Add finished units and replace the remark; ``total`` corrects how many there will be."""
        ...


class Progress(Protocol):
    """Receives the progress of a stage."""

    def bar(self, label: str, total: int | None = None, *, unit: str = "") -> AbstractContextManager[Advance]:
        """Show a phase of ``total`` units (None: unknown), named ``unit`` ("B" for bytes). The context yields ``advance``."""
        ...

    def note(self, text: str) -> None:
        """Show one line of text. It must not hold a secret."""
        ...


def _ignore(units: int = 1, remark: str = "", *, total: int | None = None) -> None:
    """Take a report and show nothing."""


class _Silent:
    @contextlib.contextmanager
    def bar(self, label: str, total: int | None = None, *, unit: str = "") -> Iterator[Advance]:
        yield _ignore

    def note(self, text: str) -> None:
        pass


class _Phase:
    """How far a phase is."""

    def __init__(self, label: str, total: int | None, unit: str) -> None:
        self.label, self.total, self.unit = label, total, unit
        self.done, self.remark = 0, ""
        self._started = time.monotonic()

    @property
    def seconds(self) -> float:
        """Time since the phase began."""
        return time.monotonic() - self._started

    def add(self, units: int, remark: str, total: int | None) -> None:
        """Take a report of ``Advance``."""
        self.done += units
        self.remark = printable(remark) or self.remark
        self.total = self.total if total is None else total

    @property
    def count(self) -> str:
        """``12 of 40 steps``; empty where nothing is counted."""
        if self.unit == "B":
            return f"{size(self.done)} of {size(self.total or 0)}"
        if not self.done and self.total is None:
            return ""
        return f"{self.done}{'' if self.total is None else f' of {self.total}'} {self.unit}".rstrip()

    def __str__(self) -> str:
        told = ", ".join(part for part in (self.count, self.remark, f"{self.seconds:.1f} s") if part)
        return f"{printable(self.label):<12} {told}"


class ConsoleProgress:
    """A live bar for each phase in a terminal or a notebook, and one line when it ends, there and elsewhere."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._begun = False

    @cached_property
    def _console(self) -> "Console":
        from rich.console import Console  # noqa: PLC0415  # not for those who watch nothing

        return Console(stderr=True)

    @contextlib.contextmanager
    def bar(self, label: str, total: int | None = None, *, unit: str = "") -> Iterator[Advance]:
        """See ``Progress.bar``."""
        if self._quiet:
            with SILENT.bar(label) as ignore:
                yield ignore
            return
        phase = _Phase(label, total, unit)
        live = self._console.is_interactive or self._console.is_jupyter  # a terminal without cursor control gets lines
        try:
            with self._live_bar(phase) if live else self._reminders(phase) as advance:
                yield advance
        except KeyboardInterrupt:
            self.note(f"stopped: {phase}")
            raise
        self.note(str(phase))

    def note(self, text: str) -> None:
        """One line on standard error."""
        if not self._quiet:
            self._console.print(printable(text), highlight=False, markup=False, soft_wrap=True)

    @contextlib.contextmanager
    def _live_bar(self, phase: _Phase) -> Iterator[Advance]:
        from rich import progress  # noqa: PLC0415  # as above

        columns = (
            progress.SpinnerColumn(),
            progress.TextColumn("{task.description:<12}"),
            progress.BarColumn(),
            progress.TextColumn("{task.fields[count]}"),
            progress.TimeElapsedColumn(),
            progress.TextColumn("left"),
            progress.TimeRemainingColumn(compact=True),
            progress.TextColumn("{task.fields[remark]}"),
        )
        with progress.Progress(*columns, console=self._console, transient=True, speed_estimate_period=60) as bars:
            task = bars.add_task(printable(phase.label), total=phase.total, count="", remark="")

            def advance(units: int = 1, remark: str = "", *, total: int | None = None) -> None:
                phase.add(units, remark, total)
                bars.update(task, advance=units, total=phase.total, count=phase.count, remark=phase.remark)

            yield advance

    @contextlib.contextmanager
    def _reminders(self, phase: _Phase) -> Iterator[Advance]:
        due = _FIRST_REMINDER_S
        if not self._begun:
            self._begun = True
            self.note(f"{phase.label} ...")

        def advance(units: int = 1, remark: str = "", *, total: int | None = None) -> None:
            nonlocal due
            phase.add(units, remark, total)
            if phase.seconds >= due:
                due = 2 * phase.seconds
                self.note(f"{phase} ...")

        yield advance


class Phases:
    """Phases that follow each other: the start of one ends the one before. Use it as a context."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._stack = contextlib.ExitStack()
        self.label = ""
        """The phase that is shown."""

    def start(self, label: str, total: int | None = None, *, unit: str = "") -> Advance:
        """End the phase that is shown, if any, and begin this one."""
        self._stack.close()
        self.label = label
        return self._stack.enter_context(self._progress.bar(label, total, unit=unit))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.__exit__(*error)  # type: ignore[arg-type]  # what a context is given


class _Automatic:
    """A bar where somebody watches: in a terminal or a notebook, on the first process of several, unless quiet."""

    def __init__(self) -> None:
        self.quiet = False

    def __repr__(self) -> str:
        return "AUTO"

    def bar(self, label: str, total: int | None = None, *, unit: str = "") -> AbstractContextManager[Advance]:
        return self._chosen().bar(label, total, unit=unit)

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
