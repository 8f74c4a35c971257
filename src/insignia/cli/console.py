"""What a person sees: progress on standard error, tables and JSON on standard output."""

import contextlib
import json
import logging
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ConfigDict
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from insignia.errors import FormatError, InputError
from insignia.files import read_json
from insignia.records import Flag, Record
from insignia.terminal import escape_json, printable

__all__ = [
    "ConsoleProgress",
    "ForceFlag",
    "JsonFlag",
    "Output",
    "QuietFlag",
    "UnrelatedFlag",
    "Written",
    "emit_json",
    "percent",
    "quiet_libraries",
    "read_paragraphs",
    "read_texts",
    "say",
    "show_table",
    "size",
]

JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output and nothing else there.")]
UnrelatedFlag = Annotated[
    bool, typer.Option("--unrelated", help="Go on although the weights show that the model does not come from the base.")
]
ForceFlag = Annotated[bool, typer.Option("--force", help="Replace an existing output.")]
QuietFlag = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no notes.")]


class Output(Record):
    """How a verb tells its result."""

    model_config = ConfigDict(title="Output")

    as_json: Annotated[bool, Flag("--json")] = False
    """Print one JSON object on standard output and nothing else there."""
    quiet: Annotated[bool, Flag("--quiet", "-q")] = False
    """Show no progress and no notes."""


class Written(Output):
    """The same for a verb that writes files."""

    force: bool = False
    """Replace an existing output."""


_UNITS = {"GB": 10**9, "MB": 10**6, "kB": 10**3}
_PLAIN_INTERVAL_S = 5.0  # between lines where there is no terminal to draw a bar on


class ConsoleProgress:
    """Progress as a bar on a terminal, as plain lines elsewhere, as nothing with ``--quiet`` or on a second process."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._console = Console(stderr=True)

    @contextlib.contextmanager
    def bar(self, label: str, total: int | None) -> Iterator[Callable[[int, str], None]]:
        """See ``insignia.progress.Progress.bar``."""
        if self._quiet:
            yield lambda _units, _remark: None
        elif self._console.is_terminal:
            with self._rich_bar(label, total) as advance:
                yield advance
        else:
            yield self._plain_lines(label, total)

    def note(self, text: str) -> None:
        """One line on standard error."""
        if not self._quiet:
            self._console.print(printable(text), highlight=False, markup=False)

    @contextlib.contextmanager
    def _rich_bar(self, label: str, total: int | None) -> Iterator[Callable[[int, str], None]]:
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

    def _plain_lines(self, label: str, total: int | None) -> Callable[[int, str], None]:
        done = 0
        last = time.monotonic()

        def advance(units: int, remark: str) -> None:
            nonlocal done, last
            done += units
            if time.monotonic() - last >= _PLAIN_INTERVAL_S:
                last = time.monotonic()
                self.note(f"{label}: {done}{f' of {total}' if total else ''} {remark}".rstrip())

        return advance


def emit_json(value: Any) -> None:
    """One JSON object on standard output."""
    typer.echo(escape_json(json.dumps(value, ensure_ascii=False, indent=2)))


def say(text: str, *, err: bool = False) -> None:
    """One line on standard output, or on standard error."""
    typer.echo(printable(text), err=err)


def show_table(
    title: str, header: Iterable[str], rows: Iterable[Iterable[str]], *, caption: str | None = None, left: bool = False
) -> None:
    """A table on standard output; the first column is left-aligned, with ``left`` all are, else the others right-aligned."""
    table = Table(title=printable(title), caption=caption and printable(caption), title_justify="left", caption_justify="left")
    for number, name in enumerate(header):
        table.add_column(printable(name), justify="left" if number == 0 or left else "right", overflow="fold")
    for row in rows:
        table.add_row(*map(printable, row))
    Console(markup=False, width=None if sys.stdout.isatty() else 100).print(table)


def percent(share: float) -> str:
    """A share as a percentage with one decimal."""
    return f"{100 * share:.1f} %"


def quiet_libraries() -> None:
    """Keep the progress bars, advice and warnings of transformers and torch off the user's screen; errors still show."""
    import transformers

    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    logging.getLogger("torch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"(torch|transformers|accelerate)\b")


def size(count: int) -> str:
    """Bytes for people: 9.2 MB."""
    value, unit = next(((count / step, unit) for unit, step in _UNITS.items() if count >= step), (count, "bytes"))
    return f"{value:.3g} {unit}"


def read_paragraphs(path: Path) -> list[str]:
    """The paragraphs of a text file, separated by blank lines, each on one line."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read paragraphs of text from {path}: {error}") from None
    paragraphs = [" ".join(block.split()) for block in text.split("\n\n")]
    return [paragraph for paragraph in paragraphs if paragraph]


def read_texts(path: Path) -> list[str]:
    """The texts in a file: a JSON list of them, or paragraphs separated by blank lines."""
    if path.suffix.lower() != ".json":
        return read_paragraphs(path)
    value = read_json(path)
    if not isinstance(value, list) or not value or not all(isinstance(text, str) and text for text in value):
        raise FormatError(f"{path} holds no texts; expected a JSON list of them")
    return value
