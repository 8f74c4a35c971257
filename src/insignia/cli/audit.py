"""``insignia audit``: an evidence bundle re-checked offline, by anybody."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from insignia.cli.console import JsonFlag, emit_json, say, show_table
from insignia.cli.verdicts import control_lines, manner_rows
from insignia.errors import InputError

if TYPE_CHECKING:
    from insignia.evidence.bundle import Audited, Bundle
    from insignia.evidence.standard import Standard

__all__ = ["audit"]

_OUT_OF_REACH = 80  # bits: a million machines that each try a billion sets a second take 38 years
_SOURCES = {
    "design": "by design: the secret drew each response from committed candidates",
    "reference": "reference: the limit measured on innocent models, if hits do not come in runs",
    "declared": "declared: the owner's word, if hits do not come in runs",
}
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
    alpha: Annotated[float, typer.Option(help="Largest chance of accusing an innocent that you accept.")] = 1e-6,
    accept_null: Annotated[
        str, typer.Option(help="Kinds of null that you accept, by commas: design, reference, declared.")
    ] = "design",
    accept_manner: Annotated[
        bool, typer.Option("--accept-manner", help="Accept a system prompt that is not in the commitment, and sampled replies.")
    ] = False,
    json_output: JsonFlag = False,
) -> None:
    """Check openings, signature, transcript, matching and p-value; status 1 if anything does not hold, else the verdict's.

    You decide what suffices: where the owner's choices fall short of it, nothing is decided (status 4), and you are told why.
    """
    from insignia.evidence import bundle as evidence
    from insignia.evidence.publication import SignedCommitment
    from insignia.files import read_bytes

    published = None if commitment is None else SignedCommitment.load(commitment)
    standard = _standard(alpha, accept_null, any_manner=accept_manner)
    found = evidence.audit(read_bytes(bundle), published=published, nonce=challenge, standard=standard)
    stamped = _stamped(found.bundle, timestamp, timestamp_roots)
    if json_output:
        emit_json(_as_json(found, stamped, standard))
    else:
        show_table(f"{bundle}: everything holds", ["", ""], _rows(found, stamped, standard))
        for line in (*control_lines(found.verdict), *_sentences(found)):
            say(line)
        if published is None:
            say("Compare root and signer with what was published before the dispute, or pass --commitment.")
    raise typer.Exit(_STATUS[found.judgement.outcome])


def _standard(alpha: float, nulls: str, *, any_manner: bool) -> "Standard":
    from pydantic import ValidationError

    from insignia.evidence.standard import Standard
    from insignia.registry import explain

    names = tuple(name.strip() for name in nulls.split(","))
    try:
        return Standard.model_validate({"alpha": alpha, "nulls": names, "any_manner": any_manner})
    except ValidationError as error:
        raise InputError(
            f"no such standard: {explain(error)}; expected --alpha between 0 and 1, and --accept-null with design, reference "
            "or declared, by commas"
        ) from None


def _as_json(found: "Audited", stamped: str | None, standard: "Standard") -> dict[str, Any]:
    """The verdict by the owner's rules, with the outcome and p-value of whoever audits."""
    signed, judgement = found.bundle.commitment, found.judgement
    about = {
        "outcome": judgement.outcome,
        "p_value": judgement.p_value,
        "reasons": list(judgement.reasons),
        "sentence": " ".join(_sentences(found)),
        "claimed": found.bundle.claim.model_dump(mode="json"),
        "standard": standard.model_dump(mode="json"),
        "root": signed.commitment.root,
        "chain": signed.commitment.terms.chain,
        "public_key": signed.public_key,
        "created": signed.created,
        "weights": signed.weights,
        "challenge": found.bundle.nonce,
        "timestamp": stamped,
    }
    return found.verdict.model_dump(mode="json") | about


def _rows(found: "Audited", stamped: str | None, standard: "Standard") -> list[list[str]]:
    signed, verdict, judgement = found.bundle.commitment, found.verdict, found.judgement
    choices = "" if found.bundle.nonce is not None else ", the owner's choice of keys allowed for"
    suspects = "" if verdict.suspects == 1 else f", for {verdict.suspects} suspects"
    return [
        ["fingerprints committed to, opened", f"{signed.commitment.size}, {len(found.bundle.openings)}"],
        ["root", signed.commitment.root],
        ["signed by", signed.public_key],
        ["signed at, as the owner says", signed.created],
        ["existed by, as an authority says that you trust", stamped or "no time stamp, or nobody trusted to give one"],
        ["keys chosen by", "the owner" if found.bundle.nonce is None else f"the challenge {found.bundle.nonce}"],
        ["suspect, as the owner says", verdict.suspect],
        *manner_rows([verdict]),
        ["hits, keys asked, unanswered", f"{verdict.hits}, {verdict.trials}, {verdict.unanswered}"],
        ["chance that an unrelated model hits one", f"{verdict.null.bound:.3g} ({_SOURCES[verdict.null.kind]})"],
        ["p-value", f"{judgement.p_value:.3g}{choices}{suspects}"],
        ["asked for, by you and by the owner", f"{standard.alpha:.3g}, {verdict.alpha:.3g}"],
        ["grinding bits", "0" if verdict.grinding_bits is None else f"{verdict.grinding_bits:.1f}"],
        ["controls, which must not carry the mark", str(len(verdict.controls)) if verdict.controls else "none was asked"],
    ]


def _sentences(found: "Audited") -> list[str]:
    """What the evidence comes to, each sentence under the conditions that it needs."""
    from insignia.verification.verdict import explain_p_value

    verdict, judgement = found.verdict, found.judgement
    seen = f"{verdict.hits} of {verdict.trials - verdict.unanswered} answered keys got the committed response"
    if judgement.outcome == "not_shown":
        return [f"The mark was not shown: {seen}. This does not prove that it is absent."]
    lines = [f"The mark is there: {seen}." if judgement.outcome == "owned" else f"Nothing is decided: {seen}."]
    lines += [f"Reason: {reason}." for reason in judgement.reasons]
    lines.append(explain_p_value(verdict.null, judgement.p_value))
    if found.bundle.nonce is None:
        size = found.bundle.commitment.commitment.size
        lines.append(f"That allows for the owner's choice of keys, if each of the {size} was asked once.")
    lines.append("It holds for the replies as they are written here: ask suspect and controls yourself, or watch.")
    lines.append(_about_fitting(verdict.grinding_bits, prompted=verdict.manner.system is not None))
    if verdict.controls:
        count = len(verdict.controls)
        lines.append(f"{count} {'control' if count == 1 else 'controls'}, named by the owner, did not do as well.")
    else:
        lines.append("No control was asked: nobody showed that the suspect's public ancestors do not answer the same keys.")
    return lines


def _stamped(bundle: "Bundle", timestamp: Path | None, roots: Path | None) -> str | None:
    """When an authority that is trusted stamped the commitment; UTC, ISO 8601."""
    from insignia.evidence.timestamp import stamped_at
    from insignia.files import read_bytes

    response = read_bytes(timestamp) if timestamp is not None else bytes.fromhex(bundle.timestamp or "")
    if timestamp is not None and roots is None:
        raise InputError("a time stamp is worth what its authority is; name the certificates you trust by --timestamp-roots")
    if roots is None:
        return None
    if not response:
        raise InputError("there is no time stamp in the bundle; give the authority's answer by --timestamp")
    return stamped_at(response, bundle.commitment.content(), roots=read_bytes(roots)).isoformat()


def _about_fitting(bits: float | None, *, prompted: bool) -> str:
    """Whether the set may have been made to fit the replies."""
    needed = (
        "It is evidence only if the commitment is older than the suspect and every model that the suspect was made from, "
        "or those were asked as controls."
    )
    if bits is None:
        return f"No hash binds the responses, so whoever saw the model first could have written them. {needed}"
    if prompted:
        return f"Whoever chose the system prompt could have put replies into it, in a code if need be. {needed}"
    if bits < _OUT_OF_REACH:
        return (
            f"Whoever saw the model first could have tried sets until one did as well: 2^{bits:.0f} tries, and only "
            f"2^{_OUT_OF_REACH} are out of reach. {needed}"
        )
    return f"Nobody can have made the set to fit these replies, whatever the commitment's date: that takes 2^{bits:.0f} tries."
