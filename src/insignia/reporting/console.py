"""Documents on standard output: tables with borders in a terminal, without them in a file or a pipe."""

import json
import sys
from typing import Any

from insignia.reporting.base import Bullets, Callout, Code, Document, Figure, Heading, Table
from insignia.terminal import escape_json, printable

__all__ = ["print_document", "print_json", "say"]

_PIPED_WIDTH = 100  # characters, where there is no terminal to fit


def print_document(document: Document) -> None:
    """Print tables and lines, in order; of a figure, its numbers."""
    for block in document.blocks:
        match block:
            case Table():
                _print_table(block)
            case Figure():
                _print_table(Table.behind(block))
            case Heading():
                say(block.text)
            case Bullets():
                for item in block.items:
                    say(f"- {item}")
            case Code():
                for line in block.text.splitlines():
                    say(f"  {line}")
            case Callout():
                say(f"{block.title} {block.text}")
            case str():
                say(block)


def print_json(value: Any) -> None:
    """Print one JSON object, in ASCII where standard output is not Unicode, as in a pipe on Windows."""
    unicode = (sys.stdout.encoding or "").lower().startswith("utf")
    print(escape_json(json.dumps(value, ensure_ascii=not unicode, indent=2)))


def say(text: str, *, err: bool = False) -> None:
    """Print one line on standard output, or on standard error."""
    print(printable(text), file=sys.stderr if err else sys.stdout)


def _print_table(shown: Table) -> None:
    from rich.console import Console
    from rich.table import Table as Grid

    grid = Grid(title=printable(shown.title), title_justify="left", caption_justify="left", show_header=any(shown.header))
    grid.caption = printable(shown.note) or None
    for number, name in enumerate(shown.header):
        grid.add_column(printable(name), justify="left" if number == 0 or shown.left else "right", overflow="fold")
    for row in shown.rows:
        grid.add_row(*map(printable, row))
    live = sys.stdout.isatty()
    grid.box = grid.box if live else None  # lines of a box say nothing to a file or a pipe
    Console(markup=False, width=None if live else _PIPED_WIDTH).print(grid)
