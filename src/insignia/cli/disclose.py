"""``insignia disclose``: the keys that a test used, and no other, opened for whoever is to judge."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from insignia.errors import InputError
from insignia.flags.fields import takes
from insignia.reporting.output import Written
from insignia.terminal import command_line

if TYPE_CHECKING:
    from insignia.evidence.publication import SignedCommitment
    from insignia.keyring.kept_set import KeptSet

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
    accuse: Annotated[str | None, typer.Option(help="Licensee whom 'insignia trace' named by this transcript.")] = None,
    codes: Annotated[Path | None, typer.Option(help="With --accuse: what 'insignia licensees --commitment' wrote.")] = None,
) -> None:
    """Open the keys that a transcript asked, with proofs, in one file that 'insignia audit' checks.

    With --accuse it is the evidence of a trace, which opens one licensee's code word, and no other's.

    Examples:
        insignia disclose prints.json --commitment commitment.json --transcript theirs.jsonl -o evidence.json
        insignia disclose prints.json --commitment c.json --transcript t.jsonl --accuse Acme --codes codes.json -o acme.json
    """
    from insignia.evidence.publication import SignedCommitment
    from insignia.files import read_bytes
    from insignia.keyring.keyring import Keyring
    from insignia.reporting.base import told

    written.refuse(output, ".json")
    ring = Keyring.open(prints)
    if (accuse is None) != (codes is None):
        raise InputError("--accuse and --codes belong together: a licensee, and the published commitment to all code words")
    if accuse is not None and codes is not None:
        published = SignedCommitment.load(commitment)
        _accusation(ring.only(), published, codes, accuse, transcript, control_transcript or [], output, written)
        return
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


def _accusation(
    kept: "KeptSet",
    published: "SignedCommitment",
    codes: Path,
    licensee: str,
    transcript: Path,
    controls: list[Path],
    output: Path,
    written: Written,
) -> None:
    from insignia.licensing.accusation import accuse
    from insignia.licensing.book import open_book
    from insignia.licensing.commitments import CodeCommitment
    from insignia.reporting.base import told

    fixed = CodeCommitment.load(codes)
    with open_book(kept) as book:
        made = accuse(kept, book, licensee, published=published, codes=fixed, transcript=transcript, controls=controls)
    opened = [opening.number for opening in made.openings]
    kept.record(opened, to=f"readers of {output.name}")
    made.save(output)
    lines = [
        f"{output}: the code word of {licensee} and {len(opened)} keys opened, which are spent.",
        "Show it to no licensee: it has the biases of the code.",
    ]
    if not controls:
        lines.append(
            "It shows no control: a trace of the model without blocks, given by --control-transcript, rules out a fit."
        )
    written.finish(told(*lines, out=str(output), opened=opened, controls=len(controls), log_e=made.log_e))
