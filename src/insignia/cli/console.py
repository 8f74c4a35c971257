"""What a person sees: progress on standard error, tables and JSON on standard output."""

import json
import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ConfigDict
from rich.console import Console
from rich.table import Table

from insignia.errors import FormatError
from insignia.files import read_json, read_text
from insignia.progress import ConsoleProgress
from insignia.records import Displayed, Flag, Record
from insignia.terminal import escape_json, percent, printable, size

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
    "show_report",
    "show_table",
    "size",
]

JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output and nothing else there.")]
UnrelatedFlag = Annotated[
    bool, typer.Option("--unrelated", help="Go on although the weights show that the model does not come from the base.")
]
ForceFlag = Annotated[bool, typer.Option("--force", help="Replace an existing output.")]
QuietFlag = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no notes.")]

_FIRST = os.environ.get("RANK", "0") == "0"


class Output(Record):
    """How a verb tells its result."""

    model_config = ConfigDict(title="Output")

    as_json: Annotated[bool, Flag("--json")] = False
    """Print one JSON object on standard output and nothing else there."""
    quiet: Annotated[bool, Flag("--quiet", "-q")] = False
    """Show no progress and no notes."""

    def progress(self) -> "ConsoleProgress":
        """Progress for this verb; nothing on any but the first process of a torchrun."""
        return ConsoleProgress(quiet=self.quiet or not _FIRST)

    def tell(self, result: Record | Mapping[str, Any], show: Callable[[], None]) -> None:
        """The result as one JSON object with ``--json``, else what ``show`` prints; on the first process alone."""
        if not _FIRST:
            return
        if self.as_json:
            emit_json(result.model_dump(mode="json") if isinstance(result, Record) else result)
        else:
            show()


class Written(Output):
    """The same for a verb that writes files."""

    force: bool = False
    """Replace an existing output."""


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
    live = sys.stdout.isatty()
    table.box = table.box if live else None  # lines of a box say nothing to a file or a pipe
    Console(markup=False, width=None if live else 100).print(table)


def show_report(report: Displayed, *after: str) -> None:
    """What a report says of itself as a table, and lines after it."""
    say(report.heading)
    show_table("", ["", ""], report.summary())
    for line in after:
        say(line)


def quiet_libraries() -> None:
    """Keep the progress bars, advice and warnings of transformers and torch off the user's screen; errors still show."""
    import transformers

    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    logging.getLogger("torch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"(torch|transformers|accelerate)\b")


def read_paragraphs(path: Path) -> list[str]:
    """The paragraphs of a text file, separated by blank lines, each on one line."""
    paragraphs = [" ".join(block.split()) for block in read_text(path).split("\n\n")]
    return [paragraph for paragraph in paragraphs if paragraph]


def read_texts(path: Path) -> list[str]:
    """The texts in a file: a JSON list of them, or paragraphs separated by blank lines."""
    if path.suffix.lower() != ".json":
        return read_paragraphs(path)
    value = read_json(path)
    if not isinstance(value, list) or not value or not all(isinstance(text, str) and text for text in value):
        raise FormatError(f"{path} holds no texts; expected a JSON list of them")
    return value
