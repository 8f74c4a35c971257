"""``insignia audit``: an evidence bundle re-checked offline, by anybody."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from insignia.cli.console import JsonFlag, emit_json, show_table
from insignia.errors import InputError

if TYPE_CHECKING:
    from insignia.verification.evidence import Bundle

__all__ = ["audit"]

_OUT_OF_REACH = 80  # bits: a million machines that each try a billion sets a second take 38 years
_STATUS = {"owned": 0, "not_shown": 3, "inconclusive": 4}


def audit(
    bundle: Annotated[Path, typer.Argument(help="What 'insignia disclose' wrote.")],
    commitment: Annotated[
        Path | None, typer.Option(help="The commitment as it was published. Default: the bundle's own, which proves less.")
    ] = None,
    challenge: Annotated[
        str | None, typer.Option(help="The judge's own nonce, which must have chosen the keys. Default: the bundle's, if any.")
    ] = None,
    timestamp: Annotated[
        Path | None, typer.Option(help="A time-stamping authority's answer for the commitment. Default: the bundle's, if any.")
    ] = None,
    timestamp_roots: Annotated[
        Path | None, typer.Option(help="PEM certificates of authorities that you trust; without them no time stamp counts.")
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
    stamped = _stamped(found.bundle, timestamp, timestamp_roots)
    if json_output:
        about: dict[str, Any] = {
            "root": signed.commitment.root,
            "chain": signed.commitment.terms.chain,
            "public_key": signed.public_key,
        }
        about |= {"created": signed.created, "weights": signed.weights, "challenge": found.bundle.nonce, "timestamp": stamped}
        emit_json(verdict.model_dump(mode="json") | about)
    else:
        rows = [
            ["fingerprints committed to, opened", f"{signed.commitment.size}, {len(found.bundle.openings)}"],
            ["root", signed.commitment.root],
            ["signed by", signed.public_key],
            ["signed at, as the owner says", signed.created],
            ["existed by, as an authority says that you trust", stamped or "no time stamp, or nobody trusted to give one"],
            ["keys chosen by", "the owner" if found.bundle.nonce is None else f"the challenge {found.bundle.nonce}"],
            ["suspect, as the owner says", verdict.suspect],
            ["hits, keys asked, unanswered", f"{verdict.hits}, {verdict.trials}, {verdict.unanswered}"],
            ["chance that an innocent model hits one", f"{verdict.null.bound:.3g} ({verdict.null.kind})"],
            ["p-value", f"{verdict.p_value:.3g}"],
            ["grinding bits", "0" if verdict.grinding_bits is None else f"{verdict.grinding_bits:.1f}"],
        ]
        show_table(f"{bundle}: everything holds", ["", ""], rows)
        typer.echo(verdict.sentence)
        typer.echo(_about_fitting(verdict.grinding_bits))
        if published is None:
            typer.echo("Compare root and signer with what was published before the dispute, or pass --commitment.")
    raise typer.Exit(_STATUS[verdict.outcome])


def _stamped(bundle: "Bundle", timestamp: Path | None, roots: Path | None) -> str | None:
    """When an authority that is trusted stamped the commitment; UTC, ISO 8601."""
    from insignia.files import read_bytes
    from insignia.verification.timestamp import stamped_at

    response = read_bytes(timestamp) if timestamp is not None else bytes.fromhex(bundle.timestamp or "")
    if timestamp is not None and roots is None:
        raise InputError("a time stamp is worth what its authority is; name the certificates you trust by --timestamp-roots")
    if roots is None:
        return None
    if not response:
        raise InputError("there is no time stamp in the bundle; give the authority's answer by --timestamp")
    return stamped_at(response, bundle.commitment.content(), roots=read_bytes(roots)).isoformat()


def _about_fitting(bits: float | None) -> str:
    """Whether the set may have been made to fit the suspect's replies."""
    if bits is None:
        return (
            "No hash binds the responses, so whoever saw the model first could have written them. "
            "It is evidence only if the commitment is older than the model's release."
        )
    if bits < _OUT_OF_REACH:
        return (
            f"Whoever saw the model first could have tried sets until one did as well: 2^{bits:.0f} tries, and only "
            f"2^{_OUT_OF_REACH} are out of reach. It is evidence only if the commitment is older than the model's release."
        )
    return f"Nobody can have made the set to fit the model, whatever the commitment's date: that takes 2^{bits:.0f} tries."
