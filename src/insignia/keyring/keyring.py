"""The keyring: what an owner keeps, as one object, and the only way to ask with it."""

import functools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self, TypeAlias, cast

from pydantic import ValidationError

from insignia.errors import InputError
from insignia.evidence import bundle
from insignia.evidence.challenge import challenge_order
from insignia.evidence.publication import SignedCommitment, publish, weight_digests
from insignia.fingerprints.sets import FingerprintSet, load_fingerprints
from insignia.keyring.examination import Examination, Opener, judge_transcripts
from insignia.keyring.kept_set import KeptSet
from insignia.keyring.options import NullOptions, VerifyOptions
from insignia.keyring.prospects import PlanOptions, Prospects, prospects
from insignia.progress import AUTO, Progress
from insignia.registry import explain
from insignia.suspects.base import Suspect as SuspectPart
from insignia.suspects.base import TextModel
from insignia.suspects.scoring import ModelSource, opened
from insignia.terminal import counted
from insignia.verification.controls import find_controls
from insignia.verification.innocents import MeasuredNull, ask_innocent
from insignia.verification.success import CheckReport, check
from insignia.verification.verdict import Verdict

__all__ = ["Keyring", "Suspect", "opener_of"]

Suspect: TypeAlias = "TextModel | SuspectPart | Opener | str | os.PathLike[str] | tuple[Any, Any]"
"""A model that can be asked, a suspect's configuration, a function that opens one, or a model as ``generate`` takes it."""


class Keyring:
    """One fingerprint set or several, each with a label and a ledger of spent keys.

    A key that leaves this machine is written to the ledger first, whether the command or Python asks. With several sets,
    ``verify_all`` asks every one and corrects for their number; the other methods are told which by ``label``.
    """

    def __init__(self, sets: Sequence[KeptSet]) -> None:
        """Take these sets; ``open`` reads them from files.

        Raises:
            InputError: there is none, or two have the same label.
        """
        labels = [kept.label for kept in sets]
        if not sets or len(set(labels)) < len(labels):
            raise InputError(
                f"the sets of a keyring are {labels}; expected at least one, each given once and with a file name of its own"
            )
        self.sets = tuple(sets)

    @classmethod
    def open(cls, *paths: str | os.PathLike[str], labels: Sequence[str] | None = None) -> Self:
        """Read fingerprint files, locked or plain; a set's label is its file's name without endings.

        Raises:
            InputError, WrongKeyError, FormatError: as ``load_fingerprints``; or the labels are not one for each file.
        """
        files = [Path(path) for path in paths]
        names = list(labels) if labels is not None else [file.name.partition(".")[0] for file in files]
        if len(names) != len(files):
            raise InputError(f"{counted(len(names), 'label')} for {counted(len(files), 'file')}; expected one for each")
        return cls([KeptSet(name, load_fingerprints(file), file) for name, file in zip(names, files, strict=True)])

    @classmethod
    def of(cls, prints: FingerprintSet) -> Self:
        """A keyring of a set in memory, for models on this machine: what others see needs a ledger, and so a file."""
        return cls([KeptSet("set", prints)])

    def __repr__(self) -> str:
        sets = (f"{kept.label}: {counted(len(kept.prints), 'fingerprint')}" for kept in self.sets)
        return f"Keyring({', '.join(sets)})"

    def only(self, label: str | None = None) -> KeptSet:
        """The set of that label, or the only set.

        Raises:
            InputError: there is no such set, or several and no label.
        """
        chosen = [kept for kept in self.sets if label in (None, kept.label)]
        if len(chosen) != 1:
            known = ", ".join(kept.label for kept in self.sets)
            raise InputError(f"expected the label of one set, as label=...; the keyring has {known}")
        return chosen[0]

    def verify(self, suspect: Suspect, *, transcript: Path | None = None, label: str | None = None, **options: Any) -> Verdict:
        """Is this model ours? A verdict from as few questions as it takes, asked with one set.

        ``options`` are the fields of ``VerifyOptions`` (``alpha=1e-6``) and the other parameters of ``verify_all``.
        """
        ring = type(self)([self.only(label)])
        (verdict,) = ring.verify_all([suspect], transcripts=[transcript] if transcript else (), **options)
        return verdict

    def verify_all(
        self,
        suspects: Sequence[Suspect],
        options: VerifyOptions | None = None,
        *,
        transcripts: Sequence[Path] = (),
        controls: Sequence[Suspect] = (),
        challenge: tuple[str, SignedCommitment] | None = None,
        decoy_texts: Sequence[str] = (),
        progress: Progress = AUTO,
        **fields: Any,
    ) -> list[Verdict]:
        """Ask every suspect with every set; one verdict for each, suspects first. All share alpha.

        Args:
            suspects: Models to test, each opened when its turn comes.
            options: How to ask and judge; ``fields`` set single ones.
            transcripts: One file for each suspect, which keeps every reply as evidence; a killed run continues from it. With
                several sets, ``t.jsonl`` stands for ``t.LABEL.jsonl``.
            controls: Models that must not carry the mark, asked the same keys where a suspect was found to carry it.
            challenge: A judge's nonce and the published commitment, which together choose the keys, for one suspect.
            decoy_texts: Own decoy questions.
            progress: Where to show progress.
            fields: Fields of ``VerifyOptions``.

        Raises:
            InputError: the options contradict each other or do not fit a set, or no key is left.
            ModelError: a suspect cannot be asked; what it said so far is in its transcript.
            OutputError: a transcript or the ledger cannot be written.
        """
        if not suspects or len(transcripts) not in (0, len(suspects)):
            raise InputError(
                f"{len(suspects)} suspects and {len(transcripts)} transcripts; give one transcript for each suspect"
            )
        run = Examination(
            self.sets,
            _built(VerifyOptions, options, fields),
            suspects=len(suspects),
            order=self._challenged(challenge, len(suspects)),
            decoy_texts=decoy_texts,
            progress=progress,
        )
        if not transcripts:
            progress.note("The replies are not kept; --transcript FILE keeps them as evidence, and continues after a stop.")
        return run.run(map(opener_of, suspects), transcripts, [opener_of(control) for control in controls])

    def judge(self, transcripts: Sequence[Path]) -> list[Verdict]:
        """The verdicts of earlier runs, without asking anything; see ``examination.judge_transcripts``."""
        return judge_transcripts(self.sets, transcripts)

    def check(self, model: ModelSource, *, label: str | None = None, **options: Any) -> CheckReport:
        """The success rate of a model on this machine, over every fingerprint of one set; ``options`` as of ``check``."""
        return check(model, self.only(label).prints, **options)

    def share(self, count: int, *, to: str, label: str | None = None) -> FingerprintSet:
        """A set of ``count`` unspent keys for ``to`` alone, recorded as spent; see ``ledger.share``."""
        return self.only(label).share(count, to=to)

    def commit(self, model: Path, *, systems: Sequence[str] = (), label: str | None = None) -> SignedCommitment:
        """A commitment to a set and to the model folder that carries it, to be published before the model.

        ``systems`` are system prompts under which the keys may be asked, too; everybody can read them.
        """
        return publish(self.only(label).prints, weight_digests(model), systems)

    def disclose(
        self,
        published: SignedCommitment,
        transcript: Path,
        *,
        to: str,
        nonce: str | None = None,
        timestamp: bytes | None = None,
        controls: Sequence[Path] | None = None,
        label: str | None = None,
    ) -> bundle.Bundle:
        """The evidence of one test: the keys that it asked, opened, with proofs. They are recorded as shown to ``to``.

        ``controls`` are transcripts of models that must not carry the mark; by default those that lie beside the transcript.

        Raises:
            InputError, EvidenceError: as ``evidence.bundle.disclose``; nothing is recorded then.
        """
        kept = self.only(label)
        others = find_controls(transcript) if controls is None else controls
        opened = bundle.disclose(kept.prints, published, transcript, nonce=nonce, timestamp=timestamp, controls=others)
        kept.record([opening.number for opening in opened.openings], to=to)
        return opened

    def plan(self, options: PlanOptions | None = None, *, label: str | None = None, **fields: Any) -> Prospects:
        """What the unspent keys of a set can prove, and how many a proof takes; ``fields`` are those of ``PlanOptions``."""
        return prospects(self.only(label), _built(PlanOptions, options, fields))

    def measure_null(
        self,
        models: Sequence[Suspect],
        options: NullOptions | None = None,
        *,
        label: str | None = None,
        progress: Progress = AUTO,
        **fields: Any,
    ) -> tuple[MeasuredNull, list[Verdict]]:
        """How often innocent models hit, and what each did; ``fields`` are those of ``NullOptions``.

        Models at an endpoint are all asked the same unspent keys: their host is one, and knows them after the first.

        Raises:
            InputError: an endpoint's model without ``max_queries``, or a risk that is not below alpha.
        """
        kept, asked = self.only(label), _built(NullOptions, options, fields)
        if asked.risk >= asked.alpha:
            raise InputError(f"a risk of {asked.risk:g} and an alpha of {asked.alpha:g}; expected a risk below alpha")
        rules, spent, verdicts = asked.rules(kept.prints), kept.spent(), []
        for model in map(opener_of, models):
            suspect = model()
            if suspect.may_refuse and asked.max_queries is None:
                raise InputError(
                    f"an endpoint's host knows the keys that it was asked, and {len(kept.prints) - len(spent)} are unspent; "
                    "say by --max-queries how many of them to spend"
                )
            verdicts.append(
                ask_innocent(
                    kept.prints,
                    suspect,
                    rules=rules,
                    max_queries=asked.max_queries,
                    exclude=spent if suspect.may_refuse else (),
                    before_send=functools.partial(kept.record, to=suspect.name) if suspect.may_refuse else None,
                    progress=progress,
                )
            )
        return MeasuredNull.of(verdicts, rules, risk=asked.risk), verdicts

    def _challenged(self, challenge: tuple[str, SignedCommitment] | None, suspects: int) -> tuple[int, ...] | None:
        """The order of keys that a judge's challenge fixes, if there is one."""
        if challenge is None:
            return None
        if suspects > 1 or len(self.sets) > 1:
            raise InputError("a challenge is for one suspect and one set: each test needs a nonce of its own")
        nonce, published = challenge
        size, prints = published.commitment.size, self.only().prints
        if size != len(prints):
            raise InputError(
                f"the commitment is of {counted(size, 'fingerprint')} and the set has {len(prints)}; use its own set"
            )
        return challenge_order(published.commitment.root, nonce, size)


def _built(kind: type[Any], options: Any, fields: Mapping[str, Any]) -> Any:
    """The options with single fields set, or an InputError that names the field."""
    try:
        return kind(**(options.model_dump() if options else {}) | dict(fields))
    except ValidationError as error:
        raise InputError(f"these options cannot be: {explain(error, kind.model_fields)}") from None


def opener_of(suspect: Suspect) -> Opener:
    """What opens a suspect when its turn comes."""
    if isinstance(suspect, SuspectPart):
        return suspect.open
    if isinstance(suspect, str | os.PathLike | tuple):
        return functools.partial(opened, suspect)
    return (lambda: cast(TextModel, suspect)) if hasattr(suspect, "reply") else suspect
