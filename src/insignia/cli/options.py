"""What options of several verbs are held to before any work is done."""

from pathlib import Path

import typer

from insignia.errors import InputError
from insignia.files import refuse_ending, refuse_existing
from insignia.records import checked_share

__all__ = ["as_share", "refuse_report"]


def refuse_report(output: Path | None, *, force: bool) -> None:
    """Raise OutputError, before any work, where a report cannot go: it exists, or its name says that it is not JSON."""
    if output is not None:
        refuse_ending(output, ".json")
        refuse_existing(output, force=force)


def as_share(value: float | None) -> float | None:
    """Callback of options that are a share: what is not in [0, 1] is a bad command line, and 95 is told to be 0.95."""
    if value is None:
        return None
    try:
        return checked_share(value, "this")
    except InputError as error:
        raise typer.BadParameter(str(error)) from None
