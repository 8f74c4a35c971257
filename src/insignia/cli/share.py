"""``insignia share``: a few fingerprints for somebody who wants to know that an API serves the very model."""

from pathlib import Path
from typing import Annotated

import typer

from insignia.cli.console import JsonFlag, emit_json, say

__all__ = ["share"]


def share(
    prints: Annotated[Path, typer.Argument(help="Fingerprint file, locked or plain; its ledger stands beside it.")],
    count: Annotated[int, typer.Option(min=1, help="Keys to give away; nobody else is given them.")],
    to: Annotated[str, typer.Option(help="Whom they are for, as the ledger is to say it.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Fingerprint file of theirs to write, mode 0600.")],
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    json_output: JsonFlag = False,
) -> None:
    """Write unspent fingerprints to a file for a user of the model, and record them as spent."""
    from insignia.files import refuse_ending, refuse_existing, refuse_overlap
    from insignia.keyring.keyring import Keyring

    refuse_ending(output, ".json")
    refuse_overlap(output, prints)
    refuse_existing(output, force=force)
    kept = Keyring.open(prints).only()
    part = kept.share(count, to=to)
    part.save(output)
    if warning := kept.shortage():
        say(f"warning: {warning}", err=True)
    left = len(kept.unspent())
    if json_output:
        emit_json({"out": str(output), "num_fingerprints": len(part), "to": to, "unspent": left})
    else:
        say(f"{output}: {len(part)} fingerprints for {to}, spent from now on; {left} of {len(kept.prints)} are left.")
