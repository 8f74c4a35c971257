"""A document, and the formats that write one: a format is a part whose name is the ending of its files."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

from insignia.errors import OutputError
from insignia.figures import Figure
from insignia.files import json_bytes, write_text
from insignia.records import Displayed, Part
from insignia.registry import Registry

__all__ = [
    "REPORTS",
    "Block",
    "Bullets",
    "Callout",
    "Code",
    "Document",
    "Figure",
    "Format",
    "Heading",
    "Json",
    "Table",
    "Tone",
    "refuse_format",
    "report_of",
    "told",
    "write_report",
]


class Table(NamedTuple):
    """A table of text."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
    """A line below it."""
    left: bool = False
    """Align every column to the left, not only the first."""

    @classmethod
    def of(
        cls, title: str, header: Iterable[str], rows: Iterable[Iterable[str]], *, note: str = "", left: bool = False
    ) -> "Table":
        """Build the table from any iterables."""
        return cls(title, tuple(header), tuple(map(tuple, rows)), note, left)

    @classmethod
    def behind(cls, figure: Figure) -> "Table":
        """The numbers of a figure, for those who do not see it."""
        header, rows = figure.rows()
        return cls.of(figure.title, header, rows, note=figure.about)


class Heading(NamedTuple):
    """The title of a part of a document; it goes on to the next of its level."""

    text: str
    level: Literal[2, 3, 4]


class Bullets(NamedTuple):
    """A list of sentences."""

    items: tuple[str, ...]


class Code(NamedTuple):
    """Commands, as they are typed."""

    text: str


Tone = Literal["yes", "no", "open"]
"""How a result is meant: as it should be, not as it should be, undecided."""


class Callout(NamedTuple):
    """The answer that a page is read for."""

    tone: Tone
    title: str
    text: str


Block: TypeAlias = "Table | Heading | Bullets | Code | Callout | Figure | str"
"""A piece of a document; a text is a paragraph."""


class Document(NamedTuple):
    """A result for people and for programs. It holds no key and no response."""

    title: str
    blocks: tuple[Block, ...]
    """What is on the page, in order."""
    data: Any
    """The result as plain data, which JSON shows."""

    def with_lines(self, *lines: str) -> "Document":
        """The same with lines after it."""
        return self._replace(blocks=(*self.blocks, *lines))

    def below_title(self) -> list[Block]:
        """The blocks, for a page that shows the title above them: they do not repeat it."""
        blocks = [block for block in self.blocks if block != self.title]
        return [
            block._replace(title="") if isinstance(block, Table) and block.title == self.title else block for block in blocks
        ]


def told(*lines: str, **data: Any) -> Document:
    """A document of a few lines."""
    return Document("", lines, data)


def report_of(report: Displayed, *after: str) -> Document:
    """A document of what a record says of itself, with lines after it."""
    table = Table.of("", ("", ""), report.summary())
    return Document(report.heading, (report.heading, table, *after), report.model_dump(mode="json"))


class Format(Part, ABC):
    """A format of reports. Its ``name`` is the ending of its files, without the dot."""

    @abstractmethod
    def render(self, document: Document) -> str:
        """Return the content of the file. The document's text is not yet escaped, and part of it is not yours."""


REPORTS: Registry[Format] = Registry(
    "report format",
    {
        "html": "insignia.reporting.webpage:WebPage",
        "json": "insignia.reporting.base:Json",
        "md": "insignia.reporting.markdown:Markdown",
    },
    group="insignia.reports",
)
"""File endings to formats."""


class Json(Format):
    """The plain data alone, for programs."""

    name: Literal["json"] = "json"

    def render(self, document: Document) -> str:
        """See ``Format.render``."""
        return json_bytes(document.data).decode()


def refuse_format(path: Path) -> None:
    """Raise OutputError, before any work is done, if no format has the file's ending. A file without one is JSON."""
    if _ending(path) not in REPORTS.names():
        known = ", ".join(f".{name}" for name in REPORTS.names())
        raise OutputError(f"{path}: cannot write {path.suffix}; expected a file name that ends in one of {known}")


def write_report(document: Document, path: Path, *, secret: bool = False) -> None:
    """Write the document in the format of the file's ending; a secret one for its owner's eyes alone."""
    write_text(path, REPORTS.build(_ending(path)).render(document), secret=secret)


def _ending(path: Path) -> str:
    return path.suffix.lower()[1:] or "json"
