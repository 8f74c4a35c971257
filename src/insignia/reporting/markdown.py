"""Reports in Markdown, for a repository or an issue."""

import re
from collections.abc import Iterable
from typing import Literal

from insignia.reporting.base import Document, Format, Table
from insignia.terminal import printable

__all__ = ["Markdown"]

_SPECIAL = re.compile(r"([\\`*\[\]<|~]|(?<![^\W_])_|_(?![^\W_]))")  # an underscore inside a word means nothing


class Markdown(Format):
    """Tables and paragraphs in Markdown."""

    name: Literal["md"] = "md"

    def render(self, document: Document) -> str:
        """See ``Format.render``."""
        blocks = [f"# {_plain(document.title)}"]
        for block in document.below_title():
            blocks += _table(block) if isinstance(block, Table) else [_plain(block)]
        return "\n\n".join(blocks) + "\n"


def _table(table: Table) -> list[str]:
    aligned = ["---" if number == 0 or table.left else "---:" for number in range(len(table.header))]
    lines = [_row(map(_plain, table.header)), _row(aligned), *(_row(map(_plain, row)) for row in table.rows)]
    title = [f"## {_plain(table.title)}"] if table.title else []
    return [*title, "\n".join(lines), *([_plain(table.note)] if table.note else [])]


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _plain(text: str) -> str:
    """The text on one line, with nothing in it that Markdown reads."""
    return _SPECIAL.sub(r"\\\1", printable(text))
