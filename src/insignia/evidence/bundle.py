"""A bundle of evidence: all that a sceptic needs to re-check a test, in one file, and the check itself.

It holds the published commitment, the keys that a transcript asked, each with its proof, the transcript line by line, those of
controls, the result that is claimed, and the owner's signature. Nothing in it is believed: the audit computes the result anew,
and judges it by the standard of its reader. What arithmetic cannot show is who typed the replies; a judge who asks suspect and
controls, or watches, with a challenge of their own can.
"""

import contextlib
import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field, ValidationError

from insignia.errors import EvidenceError, FormatError, InputError, InsigniaError
from insignia.evidence.challenge import challenge_order
from insignia.evidence.commitment import Opening, commit, open_fingerprints
from insignia.evidence.publication import SignedCommitment, owner_rng
from insignia.evidence.signing import Signed
from insignia.evidence.standard import Judgement, Standard, apply_standard
from insignia.files import canonical, read_text, write_bytes
from insignia.fingerprints.sets import FingerprintSet
from insignia.records import Record
from insignia.statistics.betting import Outcome
from insignia.verification.controls import require_same_questions, require_unmarked
from insignia.verification.matching import expected_responses
from insignia.verification.system_prompts import reveals_secret
from insignia.verification.transcript import Entry, Header, read_lines
from insignia.verification.verdict import ControlFinding, RunningVerdict, Verdict

__all__ = ["Audited", "Bundle", "Claim", "audit", "disclose"]

_MAX_BYTES = 2**26  # of a bundle; one of 1,000 keys has 4 MB
_MAX_LINES = 2**17  # of a transcript: five times the largest published set, half of them cover questions
_SAME = 1e-9  # relative, of p-values: logarithms differ in their last bits from machine to machine


_Lines = Annotated[tuple[str, ...], Field(min_length=2, max_length=_MAX_LINES)]


class Claim(Record):
    """What the owner says the transcript shows; the fields are those of ``Verdict``."""

    outcome: Outcome
    hits: int
    trials: int
    unanswered: int
    p_value: float

    @classmethod
    def of(cls, verdict: Verdict) -> "Claim":
        """The claim that a verdict makes."""
        return cls.model_validate({name: getattr(verdict, name) for name in cls.model_fields})


class Bundle(Signed):
    """The content of an evidence bundle; the keys in it are spent."""

    kind: Literal["insignia/evidence"] = "insignia/evidence"
    schema_version: Literal[1] = 1
    commitment: SignedCommitment
    nonce: Annotated[str | None, Field(max_length=1_000)] = None
    """The judge's, where it chose the keys."""
    openings: Annotated[tuple[Opening, ...], Field(min_length=1, repr=False)]
    """Of the fingerprints that were asked, in that order."""
    transcript: Annotated[_Lines, Field(repr=False)]
    """The lines of the transcript, byte for byte."""
    controls: Annotated[tuple[_Lines, ...] | None, Field(min_length=1, max_length=16, repr=False)] = None
    """The transcripts of models that must not carry the mark and were asked the same."""
    claim: Claim
    timestamp: Annotated[str | None, Field(pattern="^([0-9a-f]{2})+$", max_length=2**20)] = None
    """An authority's answer (RFC 3161) that is said to stamp the commitment's file, in hexadecimal; see ``stamped_at``."""

    def content(self) -> bytes:
        """The bundle as a file holds it: in the canonical spelling, so that no byte can be changed unseen."""
        return canonical(self.plain()) + b"\n"

    def save(self, path: Path) -> None:
        """Write it, whole or not at all, with mode 0600: who is to see the keys is the owner's to decide."""
        write_bytes(path, self.content(), secret=True)


class Audited(NamedTuple):
    """A bundle in which everything holds, and what it shows, computed anew."""

    bundle: Bundle
    verdict: Verdict
    """By the rules of the owner, with the controls."""
    judgement: Judgement
    """By the standard of whoever audits."""


class _Asked(NamedTuple):
    """A transcript whose chain holds."""

    header: Header
    entries: tuple[Entry, ...]
    digest: str

    @property
    def numbers(self) -> tuple[int, ...]:
        """Of the fingerprints asked, in that order; cover questions left out."""
        return tuple(entry.number for entry in self.entries if entry.number is not None)


def disclose(
    prints: FingerprintSet,
    published: SignedCommitment,
    transcript: Path,
    *,
    nonce: str | None = None,
    timestamp: bytes | None = None,
    controls: Sequence[Path] = (),
) -> Bundle:
    """Open the keys that a transcript asked, and no other, and sign the whole. It passes the audit, or is not made.

    ``timestamp`` is put in as it is: whom to trust with the time is the reader's to say. ``controls`` are the transcripts of
    models that must not carry the mark.

    Raises:
        InputError: the commitment is not of this set, or the set has no secret.
        EvidenceError: a transcript does not hold: it was changed, asks other keys, or another order than the nonce's; or a
            control gives the responses, too.
    """
    rng, systems = owner_rng(prints), published.commitment.terms.systems or ()
    if commit(prints, rng, systems) != published.commitment:
        raise InputError("the commitment is not of this set; expected the very file that 'insignia commit' was given, whole")
    lines = _lines_of(transcript)
    asked = _read(lines)
    if beyond := [number for number in asked.numbers if number >= len(prints)]:
        raise EvidenceError(f"the transcript asks for fingerprint {beyond[0]} of a set of {len(prints)}; use its own set")
    openings = open_fingerprints(prints, rng, asked.numbers, systems)
    claim = Claim.of(_evaluate(asked, openings, published, nonce))
    others = tuple(_lines_of(control) for control in controls) or None
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
    """Check everything in a bundle and compute its verdict anew. Takes milliseconds for 100 keys.

    Args:
        content: The bytes of the file.
        published: The commitment as it was published before the dispute; without it the bundle's own is taken.
        nonce: The judge's; without it the bundle's own, if any, is taken.
        standard: What the judge asks of evidence.

    Raises:
        EvidenceError: something does not hold; the message says what, and quotes no key.
    """
    bundle = _parse(content)
    if not (bundle.commitment.is_genuine() and bundle.is_genuine() and bundle.public_key == bundle.commitment.public_key):
        raise EvidenceError("a signature does not hold, or bundle and commitment are not signed by the same key")
    if published is not None and bundle.commitment != published:
        raise EvidenceError("the bundle rests on another commitment than the one published")
    if nonce is not None and bundle.nonce != nonce:
        raise EvidenceError("the bundle answers another challenge than this one")
    asked = _read(bundle.transcript)
    _check_openings(bundle, asked)
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


def _lines_of(transcript: Path) -> tuple[str, ...]:
    return tuple(read_text(transcript, expected="a transcript").split("\n")[:-1])  # what follows was not finished


def _evaluate_controls(bundle: Bundle, asked: _Asked) -> tuple[ControlFinding, ...]:
    found = []
    for lines in bundle.controls or ():
        control = _read(lines)
        require_same_questions((asked.header, asked.entries), (control.header, control.entries))
        found.append(ControlFinding.of(_evaluate(control, bundle.openings, bundle.commitment, bundle.nonce)))
    return tuple(found)


def _parse(content: bytes) -> Bundle:
    if len(content) > _MAX_BYTES:
        raise EvidenceError(f"not a bundle of evidence: more than {_MAX_BYTES} bytes")
    try:
        value: Any = json.loads(content, parse_constant=_refuse_constant)
        bundle = Bundle.model_validate(value)
    except ValidationError as error:
        fields = sorted({str(item["loc"][0]) for item in error.errors() if item["loc"]})
        raise EvidenceError(f"not a bundle of evidence; wrong: {', '.join(fields) or 'everything'}") from None
    except (ValueError, RecursionError):  # no UTF-8, no JSON, or no sane one
        raise EvidenceError("not a bundle of evidence; is it cut short?") from None
    if bundle.content() != content:
        raise EvidenceError("the bundle is not in its canonical spelling; expected the file as 'insignia disclose' wrote it")
    return bundle


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number")


def _read(lines: Sequence[str]) -> _Asked:
    """The lines of a transcript, each of which must name the digest of the line before it."""
    try:
        header, entries = read_lines(lines or ("",))
    except FormatError as error:
        raise EvidenceError(f"not a transcript; expected a header and a line for each question: {error}") from None
    if any(entry.reply.status == "fatal" for entry in entries):
        raise EvidenceError("not a transcript: a reply is neither answered nor unanswered")
    return _Asked(header, entries, f"sha256:{hashlib.sha256(lines[-1].encode()).hexdigest()}")


def _check_openings(bundle: Bundle, asked: _Asked) -> None:
    commitment = bundle.commitment.commitment
    if not all(commitment.holds(opening) for opening in bundle.openings):
        raise EvidenceError("an opened fingerprint is not in the committed set")
    if not all(commitment.follows(opening) for opening in bundle.openings):
        raise EvidenceError("an opened response is not the one that the hash of all keys picks")
    if tuple(opening.number for opening in bundle.openings) != asked.numbers:
        raise EvidenceError("the keys that are opened are not those that were asked, in that order")
    keys = [opening.fingerprint.effective_key or opening.fingerprint.key for opening in bundle.openings]
    if keys != [entry.question for entry in asked.entries if entry.number is not None] or len(set(keys)) != len(keys):
        raise EvidenceError("a question of the transcript is not the committed key, or was asked twice")
    if bundle.nonce is not None and asked.numbers != _challenged(commitment.root, bundle.nonce, commitment.size)[: len(keys)]:
        raise EvidenceError("the keys were not asked in the order of the challenge, from its beginning")


def _challenged(root: str, nonce: str, size: int) -> tuple[int, ...]:
    try:
        return challenge_order(root, nonce, size)
    except InputError as error:
        raise EvidenceError(str(error)) from None


def _evaluate(asked: _Asked, openings: Sequence[Opening], published: SignedCommitment, nonce: str | None) -> Verdict:
    terms, size, rules = published.commitment.terms, published.commitment.size, asked.header.rules
    with _as_evidence_error():
        searches = {
            each.number: expected_responses(each.fingerprint, terms.max_response_length, rules.match) for each in openings
        }
        running = RunningVerdict(rules, searches, max_queries=max(1, len(openings)))
        for entry in asked.entries:
            running.add(entry)
    keys = [opening.fingerprint.effective_key or opening.fingerprint.key for opening in openings]
    if reveals_secret(rules.manner.system, keys, (text for expected in searches.values() for text in expected.accepted)):
        raise EvidenceError("the system prompt holds the text of a key or of a response, so an obedient model gives it")
    chosen_from = None if terms.chain is None else size if nonce is None else len(openings)
    return running.verdict(suspect=asked.header.suspect, transcript=asked.digest, chosen_from=chosen_from)


@contextlib.contextmanager
def _as_evidence_error() -> Iterator[None]:
    try:
        yield
    except InsigniaError as error:
        raise EvidenceError(f"the transcript cannot be weighed: {error}") from None
