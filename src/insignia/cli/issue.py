"""``insignia issue``: a copy of a model for one licensee."""

from pathlib import Path
from typing import Annotated

import typer

from insignia.flags.fields import takes
from insignia.licensing.issuing import IssueOptions
from insignia.publishing.push_flags import PushFlags
from insignia.reporting.output import Written
from insignia.terminal import command_line

__all__ = ["issue"]


@takes()
def issue(
    prints: Annotated[Path, typer.Argument(help="Fingerprint file that method 'blocks' embedded; its book stands beside it.")],
    licensee: Annotated[str, typer.Argument(help="Whose copy it is. The name stands in the book, never in the copy.")],
    model: Annotated[str, typer.Option("--model", help="The model without blocks, or a sibling: folder, hub id or 'starter'.")],
    vector: Annotated[Path, typer.Option("--vector", help="Folder of the blocks, made by 'insignia vector --factors'.")],
    out: Annotated[Path, typer.Option("--output", "-o", help="Folder of the copy; safe to hand over.")],
    options: IssueOptions,
    hub: PushFlags,
    written: Written,
) -> None:
    """Stamp a licensee's own blocks onto a model, at the speed of the disk, and write it down in the book.

    Examples:
        insignia issue prints.json "Acme Ltd" --model starter --vector blocks -o acme
    """
    from insignia.keyring.keyring import Keyring
    from insignia.licensing.issuing import issue as give
    from insignia.reporting.base import report_of
    from insignia.reporting.publications import with_publication

    written.refuse_folder(out)
    hub.refuse_push()
    kept = Keyring.open(prints).only()
    progress = written.progress()
    force = written.force
    report = give(
        kept, licensee, model=model, vector=vector, out=out, options=options, card=hub, force=force, progress=progress
    )
    after = command_line("insignia", "trace", prints, "--model", "SUSPECT")
    told = report_of(report, f"If a copy leaks: {after}")
    written.finish(with_publication(told, hub.push(out, force=force, progress=progress)))
