"""``insignia licensees``: who was given a copy, a commitment to their code words, and a licensee's proof."""

from pathlib import Path
from typing import Annotated

import typer

from insignia.errors import InputError
from insignia.flags.fields import takes
from insignia.reporting.output import Reported

__all__ = ["licensees"]


@takes()
def licensees(
    prints: Annotated[Path, typer.Argument(help="Fingerprint file that copies were issued with.")],
    output: Reported,
    commitment: Annotated[
        Path | None, typer.Option(help="Write a commitment to all code words to this file; publish it, it tells no secret.")
    ] = None,
    name: Annotated[str | None, typer.Option("--open", help="Licensee whose place in the commitment to prove.")] = None,
    opening: Annotated[Path | None, typer.Option(help="With --open: file for the proof, for the licensee or a judge.")] = None,
) -> None:
    """List the licensees and their copies. The list tells no secret: not which blocks a copy has.

    Examples:
        insignia licensees prints.json
        insignia licensees prints.json --commitment codes.json --open "Acme Ltd" --opening acme.json
    """
    from insignia.files import write_json
    from insignia.keyring.keyring import Keyring
    from insignia.licensing.book import open_book
    from insignia.licensing.commitments import commit_codes, open_licensee
    from insignia.reporting.licensing import book_report

    if (name is None) != (opening is None):
        raise InputError("--open and --opening belong together: a licensee, and the file for the proof")
    output.refuse_output()
    for file in filter(None, (commitment, opening)):
        output.refuse(file, ".json")
    kept = Keyring.open(prints).only()
    with open_book(kept) as book:
        report = book_report(prints, book)
        if commitment is not None:
            published = commit_codes(kept, book)
            published.save(commitment)
            line = f"{commitment}: root {published.root}, signed by {published.public_key}. Publish it before anybody leaks."
            report = report.with_lines(line)
        if name is not None and opening is not None:
            write_json(opening, open_licensee(kept, book, name).model_dump(mode="json"), secret=True)
            report = report.with_lines(f"{opening}: the proof of {name}, for them or a judge alone.")
    output.finish(report)
