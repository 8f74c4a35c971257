"""A test of suspects with every set of a keyring: who is asked which keys, what is recorded, and what controls do to a verdict.

Each set is asked of each suspect. A key that an earlier suspect of the run has seen is not asked again, and one that leaves
this machine is recorded first. All verdicts of a run share alpha (Holm's procedure), so more sets or suspects never make a
false accusation more likely.
"""

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from insignia.errors import InputError
from insignia.keyring.kept_set import KeptSet
from insignia.keyring.options import VerifyOptions
from insignia.progress import AUTO, Progress
from insignia.suspects.base import Channel, TextModel
from insignia.verification.controls import control_transcript, find_controls, require_same_questions, with_controls
from insignia.verification.protocol import judge, strongest_channel, verify
from insignia.verification.together import judged_together
from insignia.verification.transcript import Rules, Transcript
from insignia.verification.verdict import ControlFinding, Verdict

__all__ = ["Examination", "Opener", "judge_transcripts", "transcript_of"]

Opener: TypeAlias = Callable[[], TextModel]
"""Gives a suspect when its turn comes, so that only one model is in memory."""


class _Trial(NamedTuple):
    """One set asked of one suspect, and what it showed."""

    kept: KeptSet
    rules: Rules
    transcript: Path | None
    verdict: Verdict


class Examination:
    """One run of ``verify``: fixed options, one or more sets, one or more suspects."""

    def __init__(
        self,
        sets: Sequence[KeptSet],
        options: VerifyOptions,
        *,
        suspects: int,
        order: Sequence[int] | None = None,
        all_keys: bool = False,
        decoy_texts: Sequence[str] = (),
        progress: Progress = AUTO,
    ) -> None:
        """Fix the rules; ``order`` is a judge's, for one set and one suspect.

        With ``all_keys`` they are asked in the order of the set, and no reply ends the test early.

        Raises:
            InputError: the options do not fit a set.
        """
        self._sets = sets
        self._options = options
        self._order = order
        self._progress = progress
        self._shown: set[str] = set()  # labels of sets whose keys left this machine
        self._asking: dict[str, Any] = {"decoy_texts": decoy_texts, "progress": progress}
        self._all_keys = all_keys
        tests = suspects * len(sets)
        self._rules = {kept.label: options.rules(kept.prints, tests=tests) for kept in sets}
        self._seen = {kept.label: set(options.absent(kept.prints)) for kept in sets}

    def run(self, suspects: Iterable[Opener], transcripts: Sequence[Path], controls: Sequence[Opener] = ()) -> list[Verdict]:
        """A verdict for each suspect and set, suspects first; each transcript is begun, or continued where it exists.

        Raises:
            InputError, ModelError, OutputError: as ``verification.verify``.
        """
        trials = [trial for number, suspect in enumerate(suspects) for trial in self._ask(suspect(), number, transcripts)]
        for kept in self._sets:
            if kept.label in self._shown and (warning := kept.shortage()):
                self._progress.note(warning)
        verdicts = judged_together([trial.verdict for trial in trials])
        return self._with_controls([t._replace(verdict=v) for t, v in zip(trials, verdicts, strict=True)], controls)

    def _ask(self, suspect: TextModel, number: int, transcripts: Sequence[Path]) -> Iterator[_Trial]:
        for kept in self._sets:
            decoys = self._options.decoy_share(remote=suspect.may_refuse)
            rules = self._rules[kept.label].model_copy(update={"cover": decoys})
            self._shown |= {kept.label} if suspect.may_refuse else set()
            file = transcript_of(transcripts[number], kept.label, self._sets) if transcripts else None
            rules = rules.model_copy(update={"channel": self._channel(kept, suspect, rules, file)})
            spent = kept.spent() if suspect.may_refuse and not (self._options.reuse_keys or self._order) else frozenset()
            verdict = verify(
                kept.prints,
                suspect,
                rules=rules,
                max_queries=self._options.max_queries,
                order=range(len(kept.prints)) if self._all_keys else self._order,
                exclude=spent | self._seen[kept.label],
                all_keys=self._all_keys,
                transcript=file,
                before_send=_recorder(kept, suspect),
                **self._asking,
            )
            self._seen[kept.label].update(verdict.keys_spent)
            label = kept.label if len(self._sets) > 1 else None
            yield _Trial(kept, rules, file, verdict.model_copy(update={"label": label}))

    def _channel(self, kept: KeptSet, suspect: TextModel, rules: Rules, file: Path | None) -> Channel:
        """The channel to ask by: that of the run to resume, or the strongest that the suspect offers now."""
        if file is not None and file.exists():
            return Transcript.load(file).header.rules.channel
        wanted = self._options.channel
        found = strongest_channel(kept.prints, suspect, rules, self._options.channels, self._asking["decoy_texts"])
        if wanted not in {"auto", found}:
            raise InputError(
                f"{suspect.name} does not offer the channel {wanted!r} for this set; --channel auto takes what it offers"
            )
        return found

    def _with_controls(self, trials: Sequence[_Trial], controls: Iterable[Opener]) -> list[Verdict]:
        """The verdicts, and for each one that is ``owned`` what every control did when it was asked the same keys."""
        found: dict[int, list[ControlFinding]] = {}
        owned = [place for place, trial in enumerate(trials) if trial.verdict.outcome == "owned"]
        for number, opener in enumerate(controls if owned else (), 1):
            control = opener()
            for place in owned:
                trial = trials[place]
                verdict = verify(
                    trial.kept.prints,
                    control,
                    rules=trial.rules,
                    order=trial.verdict.keys_spent,
                    max_queries=len(trial.verdict.keys_spent),
                    all_keys=True,
                    transcript=control_transcript(trial.transcript, number) if trial.transcript else None,
                    before_send=_recorder(trial.kept, control),
                    **self._asking,
                )
                found.setdefault(place, []).append(ControlFinding.of(verdict))
        return [with_controls(trial.verdict, found.get(place, [])) for place, trial in enumerate(trials)]


def _recorder(kept: KeptSet, suspect: TextModel) -> Callable[[Sequence[int]], None] | None:
    """What records keys before they leave this machine; a model on it shows them to nobody."""
    return functools.partial(kept.record, to=suspect.name) if suspect.may_refuse else None


def transcript_of(file: Path, label: str, sets: Sequence[KeptSet]) -> Path:
    """The transcript of one set: the file named, or with several sets ``t.LABEL.jsonl`` for ``t.jsonl``."""
    return file if len(sets) == 1 else file.with_name(f"{file.stem}.{label}{file.suffix}")


def judge_transcripts(sets: Sequence[KeptSet], files: Sequence[Path]) -> list[Verdict]:
    """The verdicts of earlier runs, judged together, in the light of the controls whose transcripts lie beside them.

    Raises:
        InputError, FormatError: as ``verification.judge``.
        EvidenceError: a control was not asked what the suspect was.
    """
    places = [(kept, transcript_of(file, kept.label, sets)) for file in files for kept in sets]
    verdicts = [
        judge(kept.prints, file).model_copy(update={"label": kept.label if len(sets) > 1 else None}) for kept, file in places
    ]
    judged = []
    for verdict, (kept, file) in zip(judged_together(verdicts), places, strict=True):
        findings = []
        suspect = Transcript.load(file)
        for other in find_controls(file):
            control = Transcript.load(other)
            require_same_questions(suspect, control)
            findings.append(ControlFinding.of(judge(kept.prints, other)))
        judged.append(with_controls(verdict, findings))
    return judged
