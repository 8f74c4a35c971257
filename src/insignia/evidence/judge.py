"""What a judge knows and trusts beside the bundle, as files and words."""

from pathlib import Path
from typing import TYPE_CHECKING, get_args

from insignia.errors import InputError
from insignia.evidence.standard import NullKind, Standard
from insignia.files import read_bytes
from insignia.records import Record

if TYPE_CHECKING:
    from insignia.evidence.bundle import Bundle
    from insignia.evidence.publication import SignedCommitment

__all__ = ["Judge"]


class Judge(Record):
    """What whoever audits knows and trusts."""

    commitment: Path | None = None
    """The commitment as it was published. None: the bundle's own, which proves less."""
    codes: Path | None = None
    """For an accusation: the commitment to code words as it was published. None: the accusation's own, which proves less."""
    challenge: str | None = None
    """The judge's own nonce, which must have chosen the keys. None: the bundle's, if any."""
    timestamp: Path | None = None
    """A time-stamping authority's answer for the commitment. None: the bundle's, if any."""
    timestamp_roots: Path | None = None
    """PEM certificates of authorities that you trust; without them no time stamp counts."""
    accept_null: str = "design"
    """Kinds of null that you accept, by commas: design, reference, declared."""

    def published(self) -> "SignedCommitment | None":
        """The commitment that was published, if the judge has it."""
        from insignia.evidence.publication import SignedCommitment  # noqa: PLC0415  with the signatures' library

        return None if self.commitment is None else SignedCommitment.load(self.commitment)

    def accepting(self, standard: Standard) -> Standard:
        """The standard, with the kinds of null of ``accept_null``."""
        names = tuple(name.strip() for name in self.accept_null.split(","))
        if unknown := set(names) - set(get_args(NullKind)):
            raise InputError(f"--accept-null {', '.join(sorted(unknown))}: expected design, reference or declared, by commas")
        return standard.model_copy(update={"nulls": names})

    def stamped(self, bundle: "Bundle") -> str | None:
        """When an authority that is trusted stamped the commitment; UTC, ISO 8601."""
        from insignia.evidence.timestamp import stamped_at  # noqa: PLC0415  as above

        if self.timestamp_roots is None:
            if self.timestamp is None:
                return None
            raise InputError(
                "a time stamp is worth what its authority is; name the certificates you trust by --timestamp-roots"
            )
        response = read_bytes(self.timestamp) if self.timestamp is not None else bytes.fromhex(bundle.timestamp or "")
        if not response:
            raise InputError("there is no time stamp in the bundle; give the authority's answer by --timestamp")
        return stamped_at(response, bundle.commitment.content(), roots=read_bytes(self.timestamp_roots)).isoformat()
