"""``insignia licensees``: who was given a copy."""

from pathlib import Path
from typing import Annotated

import typer

from insignia.flags.fields import takes
from insignia.reporting.output import Reported

__all__ = ["licensees"]


@takes()
def licensees(
    prints: Annotated[Path, typer.Argument(help="Fingerprint file that copies were issued with.")],
    output: Reported,
) -> None:
    """List the licensees and their copies. It tells no secret: not which blocks a copy has.

    Examples:
        insignia licensees prints.json
    """
    from insignia.keyring.keyring import Keyring
    from insignia.licensing.book import open_book
    from insignia.reporting.licensing import book_report

    output.refuse_output()
    with open_book(Keyring.open(prints).only()) as book:
        output.finish(book_report(prints, book))
