"""The controls of ``verify``: models that must not carry the mark, asked what an owned suspect was asked."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from insignia.errors import InputError

if TYPE_CHECKING:
    from insignia.cli.spending import Spending
    from insignia.fingerprints.sets import FingerprintSet
    from insignia.suspects.base import TextModel
    from insignia.verification import Verdict
    from insignia.verification.transcript import Rules

__all__ = ["Controls", "judged_with_controls"]


class Controls(NamedTuple):
    """Who is asked as a control."""

    models: tuple[str, ...]
    """Folders, hub ids, or ``starter``."""
    endpoint: str | None
    names: tuple[str, ...]
    """Names of models at the endpoint."""

    def refuse_contradictions(self, *, asks_suspects: bool) -> None:
        """Raise InputError where the flags contradict each other."""
        if (self.endpoint is None) != (not self.names):
            raise InputError("--control-endpoint and --control-name belong together: the address, and the model's name there")
        if (self.models or self.names) and not asks_suspects:
            raise InputError("a control is asked what a suspect was asked in the same run; name the suspect, too")

    def ask(
        self,
        verdicts: "Sequence[Verdict]",
        prints: "FingerprintSet",
        rules: "Rules",
        files: Sequence[Path],
        models: "Iterator[TextModel]",
        spending: "Spending",
        **options: Any,
    ) -> "list[Verdict]":
        """Each owned verdict in the light of these controls; each model is loaded once and asked for every such suspect.

        ``models`` gives those at the endpoint first: what they are asked goes on record as shown.
        """
        from insignia.verification import verify
        from insignia.verification.controls import control_transcript, with_controls
        from insignia.verification.verdict import ControlFinding

        owned = [place for place, verdict in enumerate(verdicts) if verdict.outcome == "owned"]
        found: list[list[ControlFinding]] = [[] for _ in verdicts]
        if not owned:
            return list(verdicts)
        for number, model in enumerate(models, 1):
            for place in owned:
                keys = verdicts[place].keys_spent
                control = verify(
                    prints,
                    model,
                    rules=rules,
                    order=keys,
                    max_queries=len(keys),
                    all_keys=True,
                    transcript=control_transcript(files[place], number) if files else None,
                    before_send=spending.showing_to(model.name) if number <= len(self.names) else None,
                    **options,
                )
                found[place].append(ControlFinding.of(control))
        return [with_controls(verdict, controls) for verdict, controls in zip(verdicts, found, strict=True)]


def judged_with_controls(verdicts: "Sequence[Verdict]", prints: "FingerprintSet", files: Sequence[Path]) -> "list[Verdict]":
    """Verdicts of transcripts in the light of the controls whose transcripts lie beside them."""
    from insignia.verification import judge
    from insignia.verification.controls import existing_control_transcripts, require_same_questions, with_controls
    from insignia.verification.transcript import Transcript
    from insignia.verification.verdict import ControlFinding

    judged = []
    for verdict, file in zip(verdicts, files, strict=True):
        controls = []
        suspect = Transcript.load(file)
        for control_transcript in existing_control_transcripts(file):
            control = Transcript.load(control_transcript)
            require_same_questions(suspect, control)
            controls.append(ControlFinding.of(judge(prints, control_transcript)))
        judged.append(with_controls(verdict, controls))
    return judged
