"""``insignia share``: a few fingerprints for somebody who wants to know that an API serves the very model."""

from pathlib import Path
from typing import Annotated

import typer

from insignia.flags.fields import takes
from insignia.reporting.output import Written
from insignia.terminal import counted

__all__ = ["share"]


@takes()
def share(
    prints: Annotated[Path, typer.Argument(help="Fingerprint file, locked or plain; its ledger stands beside it.")],
    count: Annotated[int, typer.Option(min=1, help="Keys to give away; nobody else is given them.")],
    to: Annotated[str, typer.Option(help="Whom they are for, as the ledger is to say it.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Fingerprint file of theirs to write, mode 0600.")],
    written: Written,
) -> None:
    """Write unspent fingerprints to a file for a user of the model, and record them as spent.

    Examples:
        insignia share prints.json --count 4 --to "a customer" -o theirs.json
    """
    from insignia.files import refuse_overlap
    from insignia.keyring.keyring import Keyring
    from insignia.reporting.base import told
    from insignia.reporting.console import say

    refuse_overlap(output, prints)
    written.refuse(output, ".json")
    kept = Keyring.open(prints).only()
    part = kept.share(count, to=to)
    part.save(output)
    if warning := kept.shortage():
        say(f"warning: {warning}", err=True)
    left = len(kept.unspent())
    line = f"{output}: {counted(len(part), 'fingerprint')} for {to}, spent from now on; {left} of {len(kept.prints)} are left."
    written.finish(told(line, out=str(output), num_fingerprints=len(part), to=to, unspent=left))
