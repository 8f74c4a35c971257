"""Controls: models that must not carry the mark (ancestors, siblings, models of other owners), asked the same keys.

Somebody could commit to replies that a public model gives by nature, and then claim every model made from it. Controls show
that the suspect's public relatives do not give the responses.
"""

from collections.abc import Sequence
from pathlib import Path

from insignia.errors import EvidenceError
from insignia.verification.transcript import Recorded, Transcript
from insignia.verification.verdict import ControlFinding, Verdict

__all__ = ["control_transcript", "doubts", "find_controls", "require_same_questions", "require_unmarked", "with_controls"]

_DOUBT_P_VALUE = 0.01
"""p-value, divided by the number of controls, at which a control casts doubt. An honest owner sees it once in 100 tests."""
_MOST = 16


def control_transcript(transcript: Path, number: int) -> Path:
    """Return the transcript path of a control, numbered from 1: ``t.control-1.jsonl`` for the suspect's ``t.jsonl``."""
    return transcript.with_name(f"{transcript.stem}.control-{number}{transcript.suffix}")


def find_controls(transcript: Path) -> tuple[Path, ...]:
    """Return the existing control transcripts beside a suspect's transcript."""
    files = (control_transcript(transcript, number) for number in range(1, _MOST + 1))
    return tuple(file for file in files if file.exists())


def require_same_questions(suspect: Recorded | Transcript, control: Recorded | Transcript) -> None:
    """Check that a control was asked the same keys in the same order under the same rules. Decoy questions may differ.

    Raises:
        EvidenceError: something differs.
    """
    if suspect.header.rules != control.header.rules:
        raise EvidenceError("a control was asked under other rules or request options than the suspect")
    asked, again = (
        [(entry.number, entry.question) for entry in each.entries if entry.number is not None] for each in (suspect, control)
    )
    if asked != again:
        raise EvidenceError("a control was not asked all keys of the suspect in the same order")


def require_unmarked(controls: Sequence[ControlFinding], alpha: float) -> None:
    """Raise EvidenceError if a control passes the test of a marked model."""
    for number, control in enumerate(controls, 1):
        if control.p_value <= alpha:
            raise EvidenceError(
                f"control {number} also gives the responses ({control.hits} of {control.trials} keys), though it must not "
                "carry the mark; the suspect may have its replies from there, so this proves nothing"
            )


def doubts(controls: Sequence[ControlFinding]) -> tuple[str, ...]:
    """Return the reasons why controls leave a verdict open."""
    found = []
    for number, control in enumerate(controls, 1):
        if control.p_value <= _DOUBT_P_VALUE / len(controls):
            found.append(f"control {number} hits more keys than an innocent model: {control.hits} of {control.trials}")
        if 2 * control.unanswered > control.trials:
            found.append(f"control {number} left {control.unanswered} of {control.trials} keys unanswered")
    return tuple(found)


def with_controls(verdict: Verdict, controls: Sequence[ControlFinding]) -> Verdict:
    """Return the verdict with its controls; it becomes inconclusive if a control casts doubt."""
    reasons = list(doubts(controls))
    try:
        require_unmarked(controls, verdict.alpha)
    except EvidenceError as error:
        reasons.insert(0, str(error))
    outcome, sentence = verdict.outcome, verdict.sentence
    if reasons and outcome == "owned":
        outcome = "inconclusive"
        sentence = f"Nothing is decided, though {verdict.hits} of {verdict.trials} keys were hit: {'; '.join(reasons)}."
    return verdict.model_copy(update={"controls": tuple(controls), "outcome": outcome, "sentence": sentence})
