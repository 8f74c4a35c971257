"""Models that must not carry the mark, asked what the suspect was asked: ancestors, siblings, models of other owners.

A commitment that is older than the suspect does not exclude that its responses were written down from a public model that the
suspect was made from. That model gives the same replies. So whoever claims a mark shows that such models do not.
"""

from collections.abc import Sequence
from pathlib import Path

from insignia.errors import EvidenceError
from insignia.verification.transcript import Entry, Header
from insignia.verification.verdict import ControlFinding, Verdict

__all__ = [
    "DOUBT_P_VALUE",
    "control_transcript",
    "existing_control_transcripts",
    "reasons_for_doubt",
    "require_same_questions",
    "require_unmarked",
    "with_controls",
]

DOUBT_P_VALUE = 0.01
"""p-value, divided among the controls, from which on one casts doubt: an honest owner meets it once in a hundred times."""
_MOST = 16


def control_transcript(transcript: Path, number: int) -> Path:
    """The file of the control of that number, from 1, of a suspect's transcript: ``t.control-1.jsonl`` of ``t.jsonl``."""
    return transcript.with_name(f"{transcript.stem}.control-{number}{transcript.suffix}")


def existing_control_transcripts(transcript: Path) -> tuple[Path, ...]:
    """The transcripts of controls that lie beside a suspect's, as ``verify --control`` writes them."""
    files = (control_transcript(transcript, number) for number in range(1, _MOST + 1))
    return tuple(file for file in files if file.exists())


def require_same_questions(suspect: tuple[Header, Sequence[Entry]], control: tuple[Header, Sequence[Entry]]) -> None:
    """Hold a control to the keys, the order and the manner in which the suspect was asked; cover questions may differ.

    Raises:
        EvidenceError: something differs.
    """
    if suspect[0].rules != control[0].rules:
        raise EvidenceError("a control was asked by other rules or in another manner than the suspect")
    asked, again = (
        [(entry.number, entry.question) for entry in each[1] if entry.number is not None] for each in (suspect, control)
    )
    if asked != again:
        raise EvidenceError("a control was not asked the keys of the suspect, all of them, in the same order")


def require_unmarked(controls: Sequence[ControlFinding], alpha: float) -> None:
    """Raise EvidenceError where a control does as well as a marked model has to."""
    for number, control in enumerate(controls, 1):
        if control.p_value <= alpha:
            raise EvidenceError(
                f"control {number} gives the responses to the same keys, too ({control.hits} of {control.trials}), though it "
                "must not carry the mark; the suspect may have its replies from there, so this proves nothing"
            )


def reasons_for_doubt(controls: Sequence[ControlFinding]) -> tuple[str, ...]:
    """Why controls leave a verdict open."""
    found = []
    for number, control in enumerate(controls, 1):
        if control.p_value <= DOUBT_P_VALUE / len(controls):
            found.append(f"control {number} gives more responses than an innocent model: {control.hits} of {control.trials}")
        if 2 * control.unanswered > control.trials:
            found.append(f"control {number} left {control.unanswered} of {control.trials} keys unanswered")
    return tuple(found)


def with_controls(verdict: Verdict, controls: Sequence[ControlFinding]) -> Verdict:
    """The verdict on a suspect in the light of its controls: where one does well, too, nothing is proven."""
    reasons = list(reasons_for_doubt(controls))
    try:
        require_unmarked(controls, verdict.alpha)
    except EvidenceError as error:
        reasons.insert(0, str(error))
    outcome, sentence = verdict.outcome, verdict.sentence
    if reasons and outcome == "owned":
        outcome = "inconclusive"
        sentence = f"Nothing is decided, though {verdict.hits} of {verdict.trials} keys were hit: {'; '.join(reasons)}."
    return verdict.model_copy(update={"controls": tuple(controls), "outcome": outcome, "sentence": sentence})
