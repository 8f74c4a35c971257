"""Tracing: asks a suspect the keys of all blocks, and names the licensees whose copies it must have come from.

Keys are asked in rounds of one key a block, until somebody is named or no key is left; the rounds share alpha. A block's
replies become a likelihood ratio, how much likelier they are if the suspect has the block, with which
:mod:`insignia.statistics.tracing` bets on code words.
"""

import math
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from insignia.errors import InputError
from insignia.evidence.commitment import Terms
from insignia.evidence.publication import owner_rng
from insignia.fingerprints.sets import FingerprintSet
from insignia.keyring.examination import Examination, Opener
from insignia.keyring.kept_set import KeptSet
from insignia.keyring.options import AskOptions, VerifyOptions
from insignia.licensing.book import open_book
from insignia.licensing.codes import STRAY, Code, bias_law, stray_rate
from insignia.licensing.findings import NamedLicensee, TraceReport
from insignia.progress import AUTO, Progress
from insignia.randomness import KeyedRandom
from insignia.records import Fingerprint
from insignia.statistics.collusion import largest_coalition
from insignia.statistics.nulls import MIN_PROBABILITY
from insignia.statistics.tracing import KEPT, Payoffs, log_ratio, log_ratio_of_gain, log_threshold, payoffs
from insignia.suspects.base import Channel
from insignia.verification.matching import Expected, Match, expected_responses, find
from insignia.verification.places import response_score
from insignia.verification.protocol import askable
from insignia.verification.transcript import Entry, Recorded, Transcript

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["TraceOptions", "block_ratios", "named_licensees", "trace"]

_CHUNK = 2**14  # code words at once: 4 MiB for 64 blocks


class _Asking(VerifyOptions):
    """Options of a test that asks for no choice: a block that is out may leave its response the first of its candidates."""

    @property
    def channels(self) -> tuple[Channel, ...]:
        return tuple(each for each in super().channels if each != "choice")


class TraceOptions(AskOptions):
    """The options of a trace, all fixed before the first question."""

    alpha: Annotated[float, Field(ge=MIN_PROBABILITY, lt=1)] = 1e-6
    """Largest chance that any innocent licensee is named, all suspects together."""
    max_queries: Annotated[int | None, Field(ge=1)] = None
    """Most keys to ask a suspect; all by default."""
    suspects: Annotated[int | None, Field(ge=1, le=10**6)] = None
    """Number of suspects that share alpha, later ones included; as many as are asked by default."""
    reuse_keys: bool = False
    """Ask an endpoint keys that somebody has seen, too."""
    decoys: Annotated[float | None, Field(ge=0, le=0.9)] = None
    """Share of decoy questions, at most 0.9; 0.5 for an endpoint and 0 for a model on this machine by default."""
    channel: Literal["auto", "scores", "top", "text"] = "auto"
    """What to go by: scores of all candidates, top tokens, or text; the most that is offered by default."""

    def asking(self, most: int, *, tests: int, drawn: bool) -> VerifyOptions:
        """The same as the options of a test of so many keys that no reply ends early.

        ``drawn``: the responses were drawn from candidates. Else the test's own verdict, which is not used, needs a null.
        """
        given = self.model_dump(exclude={"alpha", "max_queries", "suspects"})
        return _Asking(**given, max_queries=most, suspects=self.suspects or tests, null=None if drawn else "0.01")


def trace(
    kept: KeptSet,
    suspects: Sequence[Opener],
    options: TraceOptions | None = None,
    *,
    transcripts: Sequence[Path] = (),
    progress: Progress = AUTO,
) -> list[TraceReport]:
    """Ask every suspect and name licensees, or nobody. Each suspect's ``transcript`` keeps the replies; it is continued.

    Raises:
        InputError: no copy was issued with this set, no key is left, or there is not one transcript for each suspect.
        ModelError: a suspect cannot be asked.
        OutputError: the ledger or a transcript cannot be written.
    """
    options = options or TraceOptions()
    if not suspects or len(transcripts) not in (0, len(suspects)):
        raise InputError(f"{len(suspects)} suspects and {len(transcripts)} transcripts; give one transcript for each suspect")
    with open_book(kept) as book:
        code, names = book.code, list(book.copies)
    if not names:
        raise InputError("no copy was issued with this set, so there is nobody to name; see 'insignia issue'")
    case = _Case(kept, code, names, options, tests=options.suspects or len(suspects))
    with tempfile.TemporaryDirectory(prefix="insignia-") as folder:
        files = transcripts or [Path(folder, f"{number}.jsonl") for number in range(len(suspects))]
        return [case.examine(suspect, file, progress) for suspect, file in zip(suspects, files, strict=True)]


class _Case:
    """What all suspects of a run share."""

    def __init__(self, kept: KeptSet, code: Code, names: Sequence[str], options: TraceOptions, *, tests: int) -> None:
        self._kept, self._code, self._names, self._options, self._tests = kept, code, names, options, tests
        self._rng = owner_rng(kept.prints)
        self._biases = code.biases(self._rng)
        self._keys = askable(kept.prints)
        self._stray = max(map(stray_rate, kept.prints))
        self._rounds = -(-len(kept.prints) // code.blocks)
        self._alpha = options.alpha / (tests * self._rounds)  # each round is another look at the same code words

    def examine(self, suspect: Opener, file: Path, progress: Progress) -> TraceReport:
        """Ask one suspect round by round, until somebody is named."""
        opened, most = suspect(), self._options.max_queries or len(self._keys)
        spared = self._kept.spent() if opened.may_refuse and not self._options.reuse_keys else frozenset()
        for number in range(1, self._rounds + 1):
            if file.exists():
                spared = frozenset(Transcript.load(file).header.spared)
            due = len(self._due(number) - spared)
            last = due >= most or number == self._rounds
            if not (due or last):
                continue  # all of the round's keys are spent
            record = self._ask(lambda: opened, file, max(1, min(due, most)), progress)
            report = self._report(record)
            if report.named or last:
                break
        return report

    def _due(self, rounds: int) -> frozenset[int]:
        """Numbers of the keys of the first so many rounds."""
        return frozenset(number for number in self._keys if number < rounds * self._code.blocks)

    def _ask(self, suspect: Opener, file: Path, most: int, progress: Progress) -> Transcript:
        """Ask until so many keys are asked; those in the transcript are not asked again."""
        drawn = self._kept.null() is not None
        run = Examination(
            [self._kept],
            self._options.asking(most, tests=self._tests, drawn=drawn),
            suspects=self._tests,
            all_keys=True,
            progress=progress,
        )
        run.run([suspect], [file])
        return Transcript.load(file)

    def _report(self, record: Transcript) -> TraceReport:
        import numpy as np

        keys = [entry for entry in record.entries if entry.number is not None]
        asked = frozenset(entry.number for entry in keys) | frozenset(record.header.spared)
        # In the first round the bets may stop anywhere. Later ones count when they are whole: they bet on the same bits again.
        whole = sum(self._due(number) <= asked for number in range(1, self._rounds + 1))
        fingerprints = {number: self._kept.prints.fingerprints[number] for number in self._due(max(1, whole))}
        ratios = block_ratios(fingerprints, self._kept.prints, self._code.blocks, record)
        named = named_licensees(self._code, self._rng, self._names, payoffs(self._biases, ratios), alpha=self._alpha)
        answered = int((ratios[0] != 0).sum())
        clearest = ratios[np.logaddexp(ratios, 0).sum(1).argmax()]  # by the guess at what is left that fits best
        points, chances = bias_law(self._code.colluders)
        return TraceReport.of(
            suspect=record.header.suspect,
            named=tuple(NamedLicensee(licensee=name, log_e=log_e, p_value=self._p_value(log_e)) for name, log_e in named),
            licensees=len(self._names),
            blocks=self._code.blocks,
            present=int((clearest > 1).sum()),
            absent=int((clearest < -1).sum()),
            keys_asked=tuple(entry.number for entry in keys if entry.number is not None),
            unanswered=sum(entry.reply.status != "answered" for entry in keys),
            alpha=self._options.alpha,
            suspects=self._tests,
            traceable=largest_coalition(
                points, chances, answered, licensees=len(self._names), alpha=self._alpha, bound=self._stray
            ),
            transcript=record.digest,
        )

    def _p_value(self, log_e: float) -> float:
        return min(1.0, len(self._names) * self._tests * self._rounds * math.exp(-log_e))


def block_ratios(
    fingerprints: Mapping[int, Fingerprint], terms: FingerprintSet | Terms, blocks: int, record: Recorded | Transcript
) -> "NDArray[np.float64]":
    """Log-ratios (shares in ``KEPT``, blocks) of what a transcript shows of each block by the keys of these numbers.

    0 where it shows nothing.
    """
    import numpy as np

    found, rules = np.zeros((len(KEPT), blocks)), record.header.rules
    for entry in record.entries:
        if entry.number in fingerprints and entry.number is not None and entry.reply.status == "answered":
            fingerprint = fingerprints[entry.number]
            expected = expected_responses(fingerprint, terms.max_response_length, rules.match)
            found[:, entry.number % blocks] += _key_ratio(entry, expected, rules.match, stray_rate(fingerprint))
    return found


def _key_ratio(entry: Entry, expected: Expected, match: Match, stray: float) -> tuple[float, ...]:
    """Log-ratio of one key's reply."""
    if entry.reply.channel == "text":
        hit = find(entry.reply.text, expected, match).hit
        return log_ratio(hit, not hit, stray)
    score = response_score(entry.reply, expected, match)
    if score is None or not expected.log_base:
        return log_ratio(0, int(score is None), STRAY)
    return log_ratio_of_gain(score - expected.log_base[expected.order[0]])


def named_licensees(
    code: Code, rng: KeyedRandom, names: Sequence[str], paid: Payoffs, *, alpha: float
) -> list[tuple[str, float]]:
    """Licensees whose e-value reaches the threshold, and its logarithm; the clearest first. A million take half a minute."""
    threshold = log_threshold(len(names), alpha)
    found: list[tuple[str, float]] = []
    for first in range(0, len(names), _CHUNK):
        part = names[first : first + _CHUNK]
        values = paid.log_e(code.words(rng, part))
        found += [(part[place], float(values[place])) for place in (values >= threshold).nonzero()[0].tolist()]
    return sorted(found, key=lambda each: -each[1])
