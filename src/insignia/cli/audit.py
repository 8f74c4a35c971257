"""``insignia audit``: an evidence bundle re-checked offline, by anybody."""

from pathlib import Path
from typing import Annotated

import typer

from insignia.cli.console import JsonFlag, emit_json, show_table

__all__ = ["audit"]

_STATUS = {"owned": 0, "not_shown": 3, "inconclusive": 4}


def audit(
    bundle: Annotated[Path, typer.Argument(help="What 'insignia disclose' wrote.")],
    commitment: Annotated[
        Path | None, typer.Option(help="The commitment as it was published. Default: the bundle's own, which proves less.")
    ] = None,
    challenge: Annotated[
        str | None, typer.Option(help="The judge's own nonce, which must have chosen the keys. Default: the bundle's, if any.")
    ] = None,
    json_output: JsonFlag = False,
) -> None:
    """Check openings, signature, transcript, matching and p-value; status 1 if anything does not hold, else the verdict's."""
    from insignia.files import read_bytes
    from insignia.verification import evidence
    from insignia.verification.publication import SignedCommitment

    published = None if commitment is None else SignedCommitment.load(commitment)
    found = evidence.audit(read_bytes(bundle), published=published, nonce=challenge)
    signed, verdict = found.bundle.commitment, found.verdict
    if json_output:
        about = {"root": signed.commitment.root, "public_key": signed.public_key, "created": signed.created}
        emit_json({**verdict.model_dump(mode="json"), **about, "weights": signed.weights, "challenge": found.bundle.nonce})
    else:
        rows = [
            ["fingerprints committed to, opened", f"{signed.commitment.size}, {len(found.bundle.openings)}"],
            ["root", signed.commitment.root],
            ["signed by", signed.public_key],
            ["signed at, as the owner says", signed.created],
            ["keys chosen by", "the owner" if found.bundle.nonce is None else f"the challenge {found.bundle.nonce}"],
            ["suspect, as the owner says", verdict.suspect],
            ["hits, keys asked, unanswered", f"{verdict.hits}, {verdict.trials}, {verdict.unanswered}"],
            ["chance that an innocent model hits one", f"{verdict.null.bound:.3g} ({verdict.null.kind})"],
            ["p-value", f"{verdict.p_value:.3g}"],
        ]
        show_table(f"{bundle}: everything holds", ["", ""], rows)
        typer.echo(verdict.sentence)
        if published is None:
            typer.echo("Compare root and signer with what was published before the dispute, or pass --commitment.")
    raise typer.Exit(_STATUS[verdict.outcome])
