"""``insignia audit``: an evidence bundle re-checked offline, by anybody."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from insignia.errors import InputError
from insignia.evidence.standard import NullKind, Standard
from insignia.flags.fields import takes
from insignia.records import Record
from insignia.reporting.output import Reported

if TYPE_CHECKING:
    from insignia.evidence.bundle import Bundle

__all__ = ["audit"]


class _Trusted(Record):
    """What whoever audits knows and trusts."""

    commitment: Path | None = None
    """The commitment as it was published. None: the bundle's own, which proves less."""
    challenge: str | None = None
    """The judge's own nonce, which must have chosen the keys. None: the bundle's, if any."""
    timestamp: Path | None = None
    """A time-stamping authority's answer for the commitment. None: the bundle's, if any."""
    timestamp_roots: Path | None = None
    """PEM certificates of authorities that you trust; without them no time stamp counts."""
    accept_null: str = "design"
    """Kinds of null that you accept, by commas: design, reference, declared."""


@takes()
def audit(
    bundle: Annotated[Path, typer.Argument(help="What 'insignia disclose' wrote.")],
    trusted: _Trusted,
    standard: Standard,
    output: Reported,
) -> None:
    """Check openings, signature, transcript, matching and p-value; status 1 if anything does not hold, else the verdict's.

    You decide what suffices: where the owner's choices fall short of it, nothing is decided (status 4), and you are told why.

    Examples:
        insignia audit evidence.json --commitment commitment.json
        insignia audit evidence.json --commitment commitment.json -o audit.html
    """
    from insignia.evidence import bundle as evidence
    from insignia.evidence.publication import SignedCommitment
    from insignia.files import read_bytes
    from insignia.reporting.audits import audit_report
    from insignia.reporting.verdicts import exit_status

    output.refuse_output()
    standard = standard.model_copy(update={"nulls": _nulls(trusted.accept_null)})
    published = None if trusted.commitment is None else SignedCommitment.load(trusted.commitment)
    found = evidence.audit(read_bytes(bundle), published=published, nonce=trusted.challenge, standard=standard)
    stamped = _stamped(found.bundle, trusted.timestamp, trusted.timestamp_roots)
    document = audit_report(found, str(bundle), stamped=stamped, standard=standard, published=published is not None)
    output.finish(document, exit_status(found.judgement.outcome))


def _nulls(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    if unknown := set(names) - set(get_args(NullKind)):
        said = f"unknown: {', '.join(sorted(unknown))}; expected design, reference or declared, by commas"
        raise typer.BadParameter(said, param_hint="--accept-null")
    return names


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
