"""Evidence bundles: all that is needed to check a test, in one file, and the audit that checks it.

A bundle has the published commitment, the asked keys with their proofs, the transcripts of the suspect and of controls, the
claimed result, and the owner's signature. The audit trusts none of it: it computes the result again and applies the reader's
standard. It cannot show who wrote the replies; for that, a judge asks suspect and controls with a challenge, or watches.
"""

import contextlib
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

from pydantic import Field, ValidationError

from insignia.errors import EvidenceError, FormatError, InputError, InsigniaError
from insignia.evidence.challenge import challenge_order
from insignia.evidence.commitment import Opening, commit, open_fingerprints
from insignia.evidence.publication import SignedCommitment, owner_rng
from insignia.evidence.signing import Signed
from insignia.evidence.standard import Judgement, Standard, apply_standard
from insignia.files import canonical, write_bytes
from insignia.fingerprints.sets import FingerprintSet
from insignia.records import Record
from insignia.statistics.betting import Outcome
from insignia.suspects.base import Channel
from insignia.verification.controls import require_same_questions, require_unmarked
from insignia.verification.matching import Expected, expected_responses
from insignia.verification.running_verdict import RunningVerdict
from insignia.verification.system_prompts import reveals_secret
from insignia.verification.transcript import Recorded, finished_lines, read_lines
from insignia.verification.verdict import ControlFinding, Verdict

__all__ = [
    "Audited",
    "Bundle",
    "Claim",
    "Lines",
    "as_evidence_error",
    "audit",
    "check_openings",
    "disclose",
    "parse_signed",
    "read_finished",
    "searches",
]

_MAX_BYTES = 2**26  # of a bundle; one of 1,000 keys has 4 MB
_MAX_LINES = 2**17  # of a transcript: five times the largest published set, half of them decoy questions
_SAME = 1e-9  # relative tolerance of p-values: the last bits of logarithms depend on the machine
_Signed = TypeVar("_Signed", bound=Signed)

Lines = Annotated[tuple[str, ...], Field(min_length=2, max_length=_MAX_LINES)]


class Claim(Record):
    """The result that the owner claims; the fields are those of ``Verdict``."""

    outcome: Outcome
    hits: int
    trials: int
    unanswered: int
    p_value: float
    by_channel: Annotated[dict[Channel, int], Field(exclude_if=lambda value: not value)] = {}

    @classmethod
    def of(cls, verdict: Verdict) -> "Claim":
        """Return the claim of a verdict."""
        return cls.model_validate({name: getattr(verdict, name) for name in cls.model_fields})


class Bundle(Signed):
    """The content of an evidence bundle. Its keys are spent."""

    kind: Literal["insignia/evidence"] = "insignia/evidence"
    schema_version: Literal[1] = 1
    commitment: SignedCommitment
    nonce: Annotated[str | None, Field(max_length=1_000)] = None
    """The judge's nonce, if a challenge chose the keys."""
    openings: Annotated[tuple[Opening, ...], Field(min_length=1, repr=False)]
    """The asked fingerprints, in the order of asking."""
    transcript: Annotated[Lines, Field(repr=False)]
    """Lines of the suspect's transcript, byte for byte."""
    controls: Annotated[tuple[Lines, ...] | None, Field(min_length=1, max_length=16, repr=False)] = None
    """Lines of the transcripts of controls."""
    claim: Claim
    timestamp: Annotated[str | None, Field(pattern="^([0-9a-f]{2})+$", max_length=2**20)] = None
    """Time stamp (RFC 3161) of the commitment's file, as hexadecimal. Not verified here; see ``stamped_at``."""

    def content(self) -> bytes:
        """Return the canonical bytes of the file."""
        return canonical(self.plain()) + b"\n"

    def save(self, path: Path) -> None:
        """Write the bundle atomically, with mode 0600, since it has keys."""
        write_bytes(path, self.content(), secret=True)


class Audited(NamedTuple):
    """A valid bundle and its result, computed again."""

    bundle: Bundle
    verdict: Verdict
    """Verdict under the owner's rules, with the controls."""
    judgement: Judgement
    """Judgement under the auditor's standard."""


def disclose(
    prints: FingerprintSet,
    published: SignedCommitment,
    transcript: Path,
    *,
    nonce: str | None = None,
    timestamp: bytes | None = None,
    controls: Sequence[Path] = (),
) -> Bundle:
    """Open the keys that a transcript asked, and no others, and sign the bundle. The bundle is audited before it is returned.

    ``timestamp`` is stored but not verified. ``controls`` are transcripts of models that must not carry the mark.

    Raises:
        InputError: the commitment is not of this set, or the set has no secret.
        EvidenceError: a transcript was changed, asks other keys or another order than the nonce's, or a control also gives the
            responses.
    """
    rng, systems = owner_rng(prints), published.commitment.terms.systems or ()
    if commit(prints, rng, systems) != published.commitment:
        raise InputError("the commitment is not of this set; use the fingerprint file that 'insignia commit' was given")
    lines = finished_lines(transcript)
    asked = read_finished(lines)
    if beyond := [number for number in asked.numbers if number >= len(prints)]:
        raise EvidenceError(
            f"the transcript asks fingerprint {beyond[0]} of a set of {len(prints)}; use the set that was asked"
        )
    openings = open_fingerprints(prints, rng, asked.numbers, systems)
    claim = Claim.of(_evaluate(asked, openings, published, nonce))
    others = tuple(finished_lines(control) for control in controls) or None
    stamp = timestamp.hex() if timestamp else None
    about = {"commitment": published, "nonce": nonce, "claim": claim, "timestamp": stamp}
    bundle = Bundle.sign(rng, openings=openings, transcript=lines, controls=others, **about)
    audit(bundle.content())
    return bundle


def audit(
    content: bytes,
    *,
    published: SignedCommitment | None = None,
    nonce: str | None = None,
    standard: Standard = Standard(),  # noqa: B008  immutable
) -> Audited:
    """Check everything in a bundle and compute its verdict again. Takes milliseconds for 100 keys.

    Args:
        content: The bytes of the file.
        published: The commitment as published before the dispute; by default the bundle's.
        nonce: The judge's nonce; by default the bundle's, if any.
        standard: The judge's standard of proof.

    Raises:
        EvidenceError: something is invalid; the message quotes no key.
    """
    bundle = parse_signed(content, Bundle)
    if not (bundle.commitment.is_genuine() and bundle.is_genuine() and bundle.public_key == bundle.commitment.public_key):
        raise EvidenceError("a signature is invalid, or bundle and commitment are signed with different keys")
    if published is not None and bundle.commitment != published:
        raise EvidenceError("the bundle's commitment is not the published one")
    if nonce is not None and bundle.nonce != nonce:
        raise EvidenceError("the bundle answers another challenge than this one")
    asked = read_finished(bundle.transcript)
    check_openings(bundle.openings, asked, bundle.commitment, bundle.nonce)
    verdict = _evaluate(asked, bundle.openings, bundle.commitment, bundle.nonce)
    found = Claim.of(verdict)
    if found.model_copy(update={"p_value": bundle.claim.p_value}) != bundle.claim or not math.isclose(
        found.p_value, bundle.claim.p_value, rel_tol=_SAME
    ):
        raise EvidenceError("the transcript does not show what is claimed")
    controls = _evaluate_controls(bundle, asked)
    require_unmarked(controls, max(standard.alpha, verdict.alpha))
    judgement = apply_standard(
        standard,
        verdict,
        controls,
        chosen_from=bundle.commitment.commitment.size if bundle.nonce is None else None,
        systems=bundle.commitment.commitment.terms.systems or (),
        error=asked.header.rules.null.error,
    )
    return Audited(bundle, verdict.model_copy(update={"controls": controls}), judgement)


def _evaluate_controls(bundle: Bundle, asked: Recorded) -> tuple[ControlFinding, ...]:
    found = []
    for lines in bundle.controls or ():
        control = read_finished(lines)
        require_same_questions(asked, control)
        found.append(ControlFinding.of(_evaluate(control, bundle.openings, bundle.commitment, bundle.nonce)))
    return tuple(found)


def parse_signed(content: bytes, kind: type[_Signed]) -> _Signed:
    """Parse a signed record strictly: only its canonical spelling."""
    if len(content) > _MAX_BYTES:
        raise EvidenceError(f"not an evidence bundle: larger than {_MAX_BYTES} bytes")
    try:
        value: Any = json.loads(content, parse_constant=_refuse_constant)
        bundle = kind.model_validate(value)
    except ValidationError as error:
        fields = sorted({str(item["loc"][0]) for item in error.errors() if item["loc"]})
        raise EvidenceError(f"not an evidence bundle; invalid fields: {', '.join(fields) or 'all'}") from None
    except (ValueError, RecursionError):  # not UTF-8, not JSON, or nested too deeply
        raise EvidenceError("not an evidence bundle; is it cut short?") from None
    if canonical(bundle.plain()) + b"\n" != content:
        raise EvidenceError("the bundle is not in canonical form; expected the file as 'insignia disclose' wrote it")
    return bundle


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number")


def read_finished(lines: Sequence[str]) -> Recorded:
    """Parse the lines of a transcript. A finished transcript has no fatal reply."""
    try:
        recorded = read_lines(lines)
    except FormatError as error:
        raise EvidenceError(f"not a transcript; expected a header and a line for each question: {error}") from None
    if any(entry.reply.status == "fatal" for entry in recorded.entries):
        raise EvidenceError("not a transcript: a reply is neither answered nor unanswered")
    return recorded


def check_openings(openings: Sequence[Opening], asked: Recorded, published: SignedCommitment, nonce: str | None) -> None:
    """Raise EvidenceError unless these are the committed keys that were asked, in the same order."""
    commitment = published.commitment
    if not all(commitment.holds(opening) for opening in openings):
        raise EvidenceError("an opened fingerprint is not in the committed set")
    if not all(commitment.follows(opening) for opening in openings):
        raise EvidenceError("an opened response is not the one that the chain picks")
    if tuple(opening.number for opening in openings) != asked.numbers:
        raise EvidenceError("the opened keys are not those that were asked, in the same order")
    keys = [opening.fingerprint.asked_key for opening in openings]
    if keys != [entry.question for entry in asked.entries if entry.number is not None] or len(set(keys)) != len(keys):
        raise EvidenceError("a question of the transcript is not the committed key, or was asked twice")
    if nonce is not None and asked.numbers != _challenged(commitment.root, nonce, commitment.size)[: len(keys)]:
        raise EvidenceError("the keys were not asked in the order of the challenge, from its start")


def _challenged(root: str, nonce: str, size: int) -> tuple[int, ...]:
    try:
        return challenge_order(root, nonce, size)
    except InputError as error:
        raise EvidenceError(str(error)) from None


def _evaluate(asked: Recorded, openings: Sequence[Opening], published: SignedCommitment, nonce: str | None) -> Verdict:
    terms, size, rules = published.commitment.terms, published.commitment.size, asked.header.rules
    with as_evidence_error():
        running = RunningVerdict(rules, searches(asked, openings, published), max_queries=max(1, len(openings)))
        for entry in asked.entries:
            running.add(entry)
    chosen_from = None if terms.chain is None else size if nonce is None else len(openings)
    return running.verdict(suspect=asked.header.suspect, transcript=asked.digest, chosen_from=chosen_from)


def searches(asked: Recorded, openings: Sequence[Opening], published: SignedCommitment) -> dict[int, Expected]:
    """What each key's reply is searched for.

    Raises:
        EvidenceError: the system prompt gives any of it away.
    """
    terms, rules = published.commitment.terms, asked.header.rules
    found = {each.number: expected_responses(each.fingerprint, terms.max_response_length, rules.match) for each in openings}
    keys = [opening.fingerprint.asked_key for opening in openings]
    if reveals_secret(rules.manner.system, keys, (text for expected in found.values() for text in expected.accepted)):
        raise EvidenceError("the system prompt contains a key or a response, which an innocent model could repeat")
    return found


@contextlib.contextmanager
def as_evidence_error() -> Iterator[None]:
    """Raise EvidenceError for whatever a file has that no honest run writes."""
    try:
        yield
    except EvidenceError:
        raise
    except InsigniaError as error:
        raise EvidenceError(f"the transcript cannot be evaluated: {error}") from None
