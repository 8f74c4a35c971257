"""Accusations: all that is needed to check a trace, in one file, and the audit that checks it.

An accusation has the published commitments to the fingerprints and to the code words, the accused licensee's code word with
its proof, the biases, the asked keys, and the transcripts of the suspect and of controls. It opens no other licensee and no
other key. The audit trusts none of it: it computes the evidence again and allows for everything that the owner could choose.
It cannot show who wrote the replies, or who leaked the copy: the owner has every copy, too.
"""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field

from insignia.errors import EvidenceError, InputError
from insignia.evidence.bundle import Lines, as_evidence_error, check_openings, parse_signed, read_finished, searches
from insignia.evidence.commitment import Opening, commit, open_fingerprints
from insignia.evidence.publication import SignedCommitment, owner_rng
from insignia.evidence.signing import Signed
from insignia.files import canonical, write_bytes
from insignia.keyring.kept_set import KeptSet
from insignia.licensing.book import Book
from insignia.licensing.commitments import CodeCommitment, CodeOpening, OpenedBiases, open_biases, open_licensee
from insignia.licensing.leaks import block_ratios
from insignia.statistics.tracing import payoffs
from insignia.verification.transcript import Recorded, finished_lines

__all__ = ["Accusation", "AuditedAccusation", "Proof", "accuse", "audit_accusation"]

_SAME = 1e-3  # of a log e-value, whose last digits depend on the machine


class Accusation(Signed):
    """The content of an accusation. Its keys are spent, and its biases must not be shown to a licensee."""

    kind: Literal["insignia/accusation"] = "insignia/accusation"
    schema_version: Literal[1] = 1
    commitment: SignedCommitment
    codes: CodeCommitment
    biases: OpenedBiases
    accused: CodeOpening
    openings: Annotated[tuple[Opening, ...], Field(min_length=1, repr=False)]
    """The asked fingerprints, in the order of asking."""
    transcript: Annotated[Lines, Field(repr=False)]
    """Lines of the suspect's transcript, byte for byte."""
    controls: Annotated[tuple[Lines, ...] | None, Field(min_length=1, max_length=16, repr=False)] = None
    """Lines of the transcripts of models that are nobody's copy."""
    log_e: Annotated[float, Field(allow_inf_nan=False)]
    """Natural logarithm of the e-value that the owner claims."""

    def save(self, path: Path) -> None:
        """Write the file atomically, with mode 0600, since it has keys."""
        write_bytes(path, self.content(), secret=True)

    def content(self) -> bytes:
        """Return the canonical bytes of the file."""
        return canonical(self.plain()) + b"\n"


class Proof(NamedTuple):
    """What a transcript proves against one licensee."""

    log_e: float
    """Natural logarithm of the e-value against their innocence."""
    left_out: int
    """Keys of the counted rounds that were not asked."""
    p_value: float
    """Chance that the evidence against any innocent licensee is as strong, all that the owner could choose allowed for."""


class AuditedAccusation(NamedTuple):
    """A valid accusation and what it proves, computed again."""

    accusation: Accusation
    suspect: str
    proof: Proof
    controls: tuple[Proof, ...]
    reasons: tuple[str, ...]
    """Why nothing is decided, if so."""
    outcome: Literal["owned", "not_shown", "inconclusive"]
    """As of a verdict; ``owned``: the suspect comes from the accused licensee's copy."""


def accuse(
    kept: KeptSet,
    book: Book,
    licensee: str,
    *,
    published: SignedCommitment,
    codes: CodeCommitment,
    transcript: Path,
    controls: Sequence[Path] = (),
) -> Accusation:
    """Open a licensee's code word and the keys that a trace asked, and no others, and sign it. It is audited before it returns.

    Raises:
        InputError: a commitment is not of this set, or the licensee is not in it.
        EvidenceError: a transcript was changed, or a control is traced to the licensee, too.
    """
    prints, rng, systems = kept.prints, owner_rng(kept.prints), published.commitment.terms.systems or ()
    if commit(prints, rng, systems) != published.commitment:
        raise InputError("the commitment is not of this set; use the fingerprint file that 'insignia commit' was given")
    lines = finished_lines(transcript)
    asked = read_finished(lines)
    openings = open_fingerprints(prints, rng, asked.numbers, systems)
    accused, biases = open_licensee(kept, book, licensee, codes), open_biases(kept, book)
    others = tuple(finished_lines(control) for control in controls) or None
    about: dict[str, Any] = {
        "commitment": published,
        "codes": codes,
        "biases": biases,
        "accused": accused,
        "openings": openings,
    }
    about |= {"transcript": lines, "controls": others}
    log_e = _proof(Accusation.sign(rng, log_e=0.0, **about), asked).log_e
    made = Accusation.sign(rng, log_e=log_e, **about)
    audit_accusation(made.content())
    return made


def audit_accusation(
    content: bytes,
    *,
    published: SignedCommitment | None = None,
    codes: CodeCommitment | None = None,
    alpha: float = 1e-6,
    any_manner: bool = False,
) -> AuditedAccusation:
    """Check everything in an accusation and compute its evidence again.

    Args:
        content: The bytes of the file.
        published: The commitment to the fingerprints as published before the leak; by default the accusation's.
        codes: The commitment to the code words as published before the leak; by default the accusation's.
        alpha: Largest chance of accusing anybody innocent that the judge accepts.
        any_manner: Accept a system prompt that is not in the commitment, and sampled replies.

    Raises:
        EvidenceError: something is invalid; the message quotes no key.
    """
    made = parse_signed(content, Accusation)
    parts: tuple[Signed, ...] = (made, made.commitment, made.codes)
    if not all(part.is_genuine() for part in parts) or len({part.public_key for part in parts}) != 1:
        raise EvidenceError("a signature is invalid, or accusation and commitments are signed with different keys")
    if published is not None and made.commitment != published:
        raise EvidenceError("the accusation's commitment to the fingerprints is not the published one")
    if codes is not None and made.codes != codes:
        raise EvidenceError("the accusation's commitment to the code words is not the published one")
    if not (made.codes.holds(made.accused) and made.codes.has_biases(made.biases)):
        raise EvidenceError("the accused's code word, or the biases, are not those that were committed to")
    if not made.codes.drew(made.accused, made.biases):
        raise EvidenceError("the accused's code word was not drawn by the law of the code")
    asked = read_finished(made.transcript)
    check_openings(made.openings, asked, made.commitment, None)
    searches(asked, made.openings, made.commitment)
    proof = _proof(made, asked)
    if not math.isclose(proof.log_e, made.log_e, abs_tol=_SAME):
        raise EvidenceError("the evidence is not what the accusation claims")
    found = tuple(_control(made, asked, lines, alpha) for lines in made.controls or ())
    reasons = () if any_manner else tuple(_about_manner(asked, made.commitment))
    outcome: Literal["owned", "not_shown", "inconclusive"] = "inconclusive" if reasons else "owned"
    if proof.p_value > alpha:
        outcome = "not_shown"
    return AuditedAccusation(made, asked.header.suspect, proof, found, reasons, outcome)


def _proof(made: Accusation, asked: Recorded) -> Proof:
    """The evidence of a transcript against the accused.

    A later round counts if no key of it is missing but those that the transcript says were spared. The owner may have chosen
    which keys to leave out, also of the first round, after seeing all replies: each choice is another test.
    """
    import numpy as np

    size, blocks = made.commitment.commitment.size, made.codes.code.blocks
    rounds = -(-size // blocks)
    seen, spared = set(asked.numbers), set(asked.header.spared)
    whole = sum(set(range(min(size, number * blocks))) <= seen | spared for number in range(1, rounds + 1))
    due = min(size, max(1, whole) * blocks)
    counted = {each.number: each.fingerprint for each in made.openings if each.number < due}
    with as_evidence_error():
        ratios = block_ratios(counted, made.commitment.commitment.terms, blocks, asked)
    word = np.unpackbits(np.frombuffer(bytes.fromhex(made.accused.word), np.uint8), count=blocks).astype(bool)
    log_e = float(payoffs(np.array(made.biases.biases), ratios).log_e(word[None])[0])
    left_out = due - len(counted)
    log_tests = math.log(made.codes.size * asked.header.rules.suspects * rounds * math.comb(due, left_out))
    return Proof(log_e, left_out, math.exp(min(0.0, log_tests - log_e)))


def _control(made: Accusation, asked: Recorded, lines: Sequence[str], alpha: float) -> Proof:
    """What a control shows of the accused's code word by the suspect's keys."""
    control = read_finished(lines)
    if (control.header.rules.match, control.header.rules.manner) != (asked.header.rules.match, asked.header.rules.manner):
        raise EvidenceError("a control was asked under other request options than the suspect")
    asked_again = sorted((entry.number, entry.question) for entry in control.entries if entry.number is not None)
    if asked_again != sorted((each.number, each.fingerprint.asked_key) for each in made.openings):
        raise EvidenceError(
            f"a control was not asked the same keys as the suspect, which was asked {len(made.openings)}, each once; see"
            " 'trace --max-queries'"
        )
    proof = _proof(made, control)
    if proof.p_value <= alpha:
        raise EvidenceError("a control is traced to the accused, too, though it is nobody's copy; so this proves nothing")
    return proof


def _about_manner(asked: Recorded, published: SignedCommitment) -> Iterable[str]:
    manner = asked.header.rules.manner
    if manner.system is not None and manner.system not in (published.commitment.terms.systems or ()):
        yield "the suspect was asked under a system prompt that is not in the commitment (--accept-manner)"
    if manner.temperature > 0:
        yield "the suspect's replies were sampled, so every repetition is another chance (--accept-manner)"
