"""What options of several verbs are held to before any work is done."""

import typer

from insignia.errors import InputError
from insignia.types import share

__all__ = ["as_share"]


def as_share(value: float | None) -> float | None:
    """Callback of options that are a share: what is not in [0, 1] is a bad command line, and 95 is told to be 0.95."""
    if value is None:
        return None
    try:
        return share(value, "this")
    except InputError as error:
        raise typer.BadParameter(str(error)) from None
