"""How a verb of the command gives its result: shown, as JSON, and in a file."""

import os
import sys
from pathlib import Path
from typing import Annotated

from pydantic import ConfigDict

from insignia.errors import OutputError
from insignia.files import refuse_ending, refuse_existing
from insignia.progress import ConsoleProgress
from insignia.records import Flag, Record
from insignia.reporting.base import Document, refuse_format, write_report
from insignia.reporting.console import print_document, print_json

__all__ = ["Output", "Reported", "Written", "refuse_file_name"]

_ENDINGS_OF_FILES = (".csv", ".gguf", ".html", ".json", ".jsonl", ".md", ".pdf", ".safetensors", ".txt", ".yaml", ".yml")
_FIRST = os.environ.get("RANK", "0") == "0"  # of the processes of torchrun


def refuse_file_name(folder: Path, *, holding: str = "") -> None:
    """Raise OutputError if the name of an output folder is that of a file; ``holding`` tells of what will be in it."""
    if folder.suffix.lower() in _ENDINGS_OF_FILES:
        raise OutputError(f"{folder}: the output is a folder{holding}; give a folder's name")


class Output(Record):
    """How a verb tells its result."""

    model_config = ConfigDict(title="Output")

    as_json: Annotated[bool, Flag("--json")] = False
    """Print one JSON object on standard output and nothing else there."""
    quiet: Annotated[bool, Flag("--quiet", "-q")] = False
    """Show no progress and no notes."""

    def progress(self) -> ConsoleProgress:
        """Progress for this verb; nothing on any but the first process of a torchrun."""
        return ConsoleProgress(quiet=self.quiet or not _FIRST)

    def finish(self, document: Document, status: int = 0) -> None:
        """Show the result, as one JSON object with ``--json``; then end with the exit status unless it is 0."""
        if _FIRST and self.as_json:
            print_json(document.data)
        elif _FIRST:
            print_document(document)
        if status:
            sys.exit(status)


class Written(Output):
    """The same for a verb that writes files."""

    force: bool = False
    """Replace an existing output."""

    def refuse(self, path: Path, *endings: str) -> None:
        """Raise OutputError, before any work, if the output exists without ``--force`` or has another ending than these."""
        if endings:
            refuse_ending(path, *endings)
        refuse_existing(path, force=self.force)

    def refuse_folder(self, path: Path) -> None:
        """Raise OutputError, before any work, if the output exists without ``--force`` or has the name of a file."""
        refuse_file_name(path)
        refuse_existing(path, force=self.force)


class Reported(Written):
    """The same for a verb whose result can be written as a report."""

    output: Annotated[Path | None, Flag("--output", "-o")] = None
    """Also write the result to this file: a web page, Markdown or JSON by its ending (.html, .md, .json)."""

    def refuse_output(self) -> None:
        """Raise OutputError, before any work, if the report cannot be written there."""
        if self.output is not None:
            refuse_format(self.output)
            self.refuse(self.output)

    def finish(self, document: Document, status: int = 0) -> None:
        """Write the report, then show it as ``Output.finish`` does."""
        if self.output is not None and _FIRST:
            write_report(document, self.output)
        super().finish(document, status)
