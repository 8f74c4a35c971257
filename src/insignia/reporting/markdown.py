"""Reports in Markdown, for a repository or an issue."""

import re
from collections.abc import Iterable
from typing import Literal

from insignia.reporting.base import Block, Bullets, Callout, Code, Document, Figure, Format, Heading, Table
from insignia.terminal import printable

__all__ = ["Markdown"]

_SPECIAL = re.compile(r"([\\`*\[\]<|~]|(?<![^\W_])_|_(?![^\W_]))")  # an underscore inside a word means nothing


class Markdown(Format):
    """Tables and paragraphs in Markdown; of figures, the numbers."""

    name: Literal["md"] = "md"

    def render(self, document: Document) -> str:
        """See ``Format.render``."""
        blocks, level = [f"# {_plain(document.title)}"], 1
        for block in document.below_title():
            level = block.level if isinstance(block, Heading) else level
            blocks += _written(block, level)
        return "\n\n".join(blocks) + "\n"


def _written(block: Block, level: int) -> list[str]:
    """The paragraphs of a block below a title of that level."""
    match block:
        case Table():
            return _table(block, level + 1)
        case Figure():
            return _table(Table.behind(block), level + 1)
        case Heading():
            return [f"{'#' * block.level} {_plain(block.text)}"]
        case Bullets():
            return ["\n".join(f"- {_plain(item)}" for item in block.items)]
        case Code():
            return [_code(block.text)]
        case Callout():
            return [f"> **{_plain(block.title)}** {_plain(block.text)}"]
        case str():
            return [_plain(block)]


def _code(text: str) -> str:
    """Lines between fences that are longer than any row of backticks in them."""
    lines = [printable(line) for line in text.splitlines()]
    fence = "`" * max(3, 1 + max((len(run) for line in lines for run in re.findall("`+", line)), default=0))
    return "\n".join([f"{fence}sh", *lines, fence])


def _table(table: Table, level: int) -> list[str]:
    aligned = ["---" if number == 0 or table.left else "---:" for number in range(len(table.header))]
    lines = [_row(map(_plain, table.header)), _row(aligned), *(_row(map(_plain, row)) for row in table.rows)]
    title = [f"{'#' * level} {_plain(table.title)}"] if table.title else []
    return [*title, "\n".join(lines), *([_plain(table.note)] if table.note else [])]


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _plain(text: str) -> str:
    """The text on one line, with nothing in it that Markdown reads."""
    return _SPECIAL.sub(r"\\\1", printable(text))
