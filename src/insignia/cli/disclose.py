"""``insignia disclose``: the keys that a test used, and no other, opened for whoever is to judge."""

from pathlib import Path
from typing import Annotated

import typer

from insignia.flags.fields import takes
from insignia.reporting.output import Written
from insignia.terminal import command_line

__all__ = ["disclose"]


@takes()
def disclose(
    prints: Annotated[Path, typer.Argument(help="The fingerprint file that was committed to, locked or plain.")],
    commitment: Annotated[Path, typer.Option(help="What 'insignia commit' wrote.")],
    transcript: Annotated[Path, typer.Option(help="What 'insignia verify --transcript' wrote.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Evidence bundle to write, mode 0600.")],
    written: Written,
    challenge: Annotated[str | None, typer.Option(help="The judge's nonce, where it chose the keys.")] = None,
    timestamp: Annotated[
        Path | None, typer.Option(help="What a time-stamping authority answered to the request of 'insignia commit'.")
    ] = None,
    control_transcript: Annotated[
        list[Path] | None,
        typer.Option(help="What 'verify --control' wrote. Several: repeat it. Default: those beside the transcript."),
    ] = None,
) -> None:
    """Open the keys that a transcript asked, with proofs, in one file that 'insignia audit' checks.

    Examples:
        insignia disclose prints.json --commitment commitment.json --transcript theirs.jsonl -o evidence.json
    """
    from insignia.evidence.publication import SignedCommitment
    from insignia.files import read_bytes
    from insignia.keyring.keyring import Keyring
    from insignia.reporting.base import told

    written.refuse(output, ".json")
    ring = Keyring.open(prints)
    bundle = ring.disclose(
        SignedCommitment.load(commitment),
        transcript,
        to=f"readers of {output.name}",
        nonce=challenge,
        timestamp=None if timestamp is None else read_bytes(timestamp),
        controls=control_transcript,
    )
    bundle.save(output)
    opened, controls = [opening.number for opening in bundle.openings], bundle.controls or ()
    lines = [
        f"{output}: {len(opened)} of {len(ring.only().prints)} keys opened, spent from now on. Whoever reads it knows them."
    ]
    if not controls:
        lines.append("It shows no control; 'insignia verify --control ANCESTOR' asks a model that must not carry the mark.")
    lines.append(f"Check it as others will: {command_line('insignia', 'audit', output, '--commitment', commitment)}")
    claim = bundle.claim.model_dump(mode="json")
    written.finish(told(*lines, out=str(output), opened=opened, controls=len(controls), **claim))
