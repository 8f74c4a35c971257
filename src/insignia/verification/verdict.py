"""Verdicts: the entries of a transcript added one by one, and the result as a record and a sentence."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from insignia.errors import InputError
from insignia.records import Displayed, Record
from insignia.statistics.betting import Outcome, SequentialTest, Tally
from insignia.statistics.tails import grinding_bits, holm
from insignia.suspects.base import RequestOptions
from insignia.terminal import printable
from insignia.verification.matching import Expected, Match, design_null, find, is_near
from insignia.verification.transcript import Entry, Rules

if TYPE_CHECKING:
    from insignia.statistics.nulls import Null

__all__ = ["ControlFinding", "NullClaim", "RunningVerdict", "Verdict", "explain_p_value", "judged_together", "once_in"]

_LARGEST_LOG = 700.0  # logarithm of the largest float, rounded down
_SMALLEST = 5e-324


class NullClaim(Record):
    """The null of a verdict."""

    kind: str
    """Kind of the null: design, reference, declared, or the name of a plug-in's."""
    bound: float
    """Largest probability that an innocent model hits one trial."""


class ControlFinding(Record):
    """The result of a control."""

    name: str
    """Name of the control."""
    hits: int
    trials: int
    unanswered: int
    p_value: float
    """p-value under the suspect's rules."""
    transcript: str
    """``sha256:...`` of the last line of the control's transcript."""

    @classmethod
    def of(cls, verdict: "Verdict") -> "ControlFinding":
        """Build the finding from the verdict on the control."""
        fields = {name: getattr(verdict, name) for name in cls.model_fields if name != "name"}
        return cls(name=verdict.suspect, **fields)


class Verdict(Displayed):
    """The outcome of a test and its basis. Holds no key and no response."""

    outcome: Outcome
    hits: int
    trials: int
    """Number of keys asked, including unanswered ones."""
    unanswered: int
    p_value: float
    """Anytime-valid p-value; after Holm's correction if several suspects were judged together."""
    e_value: float
    alpha: float
    suspects: int
    """Number of suspects that share alpha."""
    null: NullClaim
    keys_spent: tuple[int, ...]
    """Numbers of the fingerprints whose keys the suspect has seen."""
    suspect: str
    label: Annotated[str | None, Field(exclude_if=lambda value: value is None)] = None
    """The set that was asked, where a keyring has several."""
    transcript: str
    """``sha256:...`` of the transcript's last line."""
    match: Match
    manner: RequestOptions
    """Request options of the questions."""
    controls: tuple[ControlFinding, ...] = ()
    """Results of models that must not carry the mark."""
    sentence: str
    """The verdict in plain words."""
    grinding_bits: float | None = None
    """Log2 of the sets one would have to try to fit a chained set to this suspect (``tails.grinding_bits``). Keys chosen by
    the owner count as chosen from all. None for a set without a chain, whose responses can be written to fit."""
    near: Annotated[int | None, Field(exclude_if=lambda value: value is None)] = None
    """Keys whose response was among the first token's alternatives, as the server reports them. A hint that does not affect
    the outcome; None if no alternatives were given."""

    @property
    def heading(self) -> str:
        """The sentence."""
        return self.sentence

    def summary(self) -> list[tuple[str, str]]:
        """What it rests on."""
        return [
            ("suspect", self.suspect),
            ("outcome", self.outcome.replace("_", " ")),
            ("hits", f"{self.hits} of {self.trials - self.unanswered} answered, {self.unanswered} unanswered"),
            ("p-value", f"{self.p_value:.2g}, {self.alpha:g} was asked for"),
        ]

    def __str__(self) -> str:
        return printable(self.sentence)


class RunningVerdict:
    """A test in progress. Add entries in the order of asking; it says when to stop."""

    def __init__(self, rules: Rules, searches: Mapping[int, Expected], *, max_queries: int, all_keys: bool = False) -> None:
        """``searches`` has the expected responses by fingerprint number.

        With ``all_keys`` the test ends after ``max_queries`` keys and no earlier, as for a control.

        Raises:
            InputError: alpha does not exceed the probability that the null is wrong, or a design null is not the set's.
        """
        if rules.null.name == "design" and rules.null != design_null(searches.values(), rules.match):
            raise InputError("the null of the rules has another number of candidates than the set; use the set's own null")
        self.rules = rules
        self.tally = Tally()
        self._null: Null = rules.null
        self._all_keys = all_keys
        self._searches = searches
        self._fewest = min((len(expected.candidates) for expected in searches.values()), default=0)
        self._spent: dict[int, None] = {}  # in the order of asking
        self._near: int | None = None
        self._test = SequentialTest(
            alpha=self._null.level(rules.alpha / rules.suspects),
            survival=rules.survival,
            futility=rules.futility,
            max_queries=max_queries,
        )

    @property
    def outcome(self) -> Outcome | None:
        """The outcome, or None if another key is needed."""
        if self._all_keys and self.tally.asked < self._test.max_queries:
            return None
        return self._test.outcome(self.tally)

    @property
    def keys_spent(self) -> tuple[int, ...]:
        """Numbers of the fingerprints asked so far."""
        return tuple(self._spent)

    def add(self, entry: Entry) -> None:
        """Add one entry. Decoy questions do not count.

        Raises:
            InputError: the fingerprint is not in the set or was asked before.
        """
        if entry.number is None:
            return
        if entry.number in self._spent or entry.number not in self._searches:
            raise InputError(f"fingerprint {entry.number} was asked twice or is not in the set; expected each at most once")
        self._spent[entry.number] = None
        if entry.reply.status != "answered":
            self.tally = self._test.after(self.tally, hit=None, bound=self._null.bound)
            return
        expected = self._searches[entry.number]
        if entry.reply.alternatives:
            tokens = [alternative.text for alternative in entry.reply.alternatives]
            self._near = (self._near or 0) + is_near(tokens, expected, self.rules.match)
        finding = find(entry.reply.text, expected, self.rules.match)
        # The null assumes the smallest number of candidates. A reply that matches as many shows nothing.
        bound = self._null.bound_given(min(finding.met, self._fewest))
        self.tally = self._test.after(self.tally, hit=finding.hit, bound=bound)

    def min_keys_left(self) -> int:
        """Return the smallest number of keys, at least 1, after which the test can end. So many can be asked at once."""
        if self._all_keys:
            return max(1, self._test.max_queries - self.tally.asked)
        all_hit = all_miss = self.tally
        for more in itertools.count(1):
            all_hit = self._test.after(all_hit, hit=True, bound=self._null.bound_given(1))
            all_miss = self._test.after(all_miss, hit=False, bound=self._null.bound)
            if self._test.outcome(all_hit) or self._test.outcome(all_miss):
                return more
        raise AssertionError  # pragma: no cover  # for the type checker: the loop has no end

    def verdict(self, *, suspect: str, transcript: str, chosen_from: int | None = None) -> Verdict:
        """Return the verdict so far; an unfinished test is inconclusive.

        ``chosen_from`` is the number of keys that the asked ones were chosen from, for a set with a chain.
        """
        tally = self.tally
        design = None if chosen_from is None else design_null(self._searches.values(), self.rules.match)
        verdict = Verdict(
            outcome=self.outcome or "inconclusive",
            hits=tally.hits,
            trials=tally.asked,
            unanswered=tally.unanswered,
            p_value=max(_SMALLEST, math.exp(self._null.corrected(tally.log_p_value))),
            e_value=math.exp(min(tally.evidence.log_e, _LARGEST_LOG)),
            alpha=self.rules.alpha,
            suspects=self.rules.suspects,
            null=NullClaim(kind=self.rules.null.name, bound=self._null.bound),
            keys_spent=self.keys_spent,
            suspect=suspect,
            transcript=transcript,
            match=self.rules.match,
            manner=self.rules.manner,
            sentence="",
            grinding_bits=grinding_bits(tally.hits, chosen_from, design.bound) if chosen_from and design else None,
            near=self._near,
        )
        return verdict.model_copy(update={"sentence": _sentence(verdict)})


def judged_together(verdicts: Sequence[Verdict]) -> tuple[Verdict, ...]:
    """Correct verdicts of ``verify`` or ``judge`` on several suspects by Holm's procedure, so that alpha holds for all.

    Suspects that the rules count but that are missing here count as innocent. Outcomes can change either way.

    Raises:
        InputError: the verdicts have different alphas.
    """
    if len({verdict.alpha for verdict in verdicts}) > 1:
        raise InputError("the transcripts have different alphas; expected the same alpha for suspects judged together")
    log_ps = [math.log(verdict.p_value) for verdict in verdicts]
    family = max([len(verdicts), *(verdict.suspects for verdict in verdicts)])
    judged = []
    for verdict, log_p in zip(verdicts, holm(log_ps, family=family), strict=True):
        outcome: Outcome = verdict.outcome
        if math.exp(log_p) <= verdict.alpha:
            outcome = "owned"
        elif outcome == "owned":
            outcome = "inconclusive"
        p_value = max(_SMALLEST, math.exp(log_p))
        corrected = verdict.model_copy(update={"outcome": outcome, "p_value": p_value, "suspects": family})
        judged.append(corrected.model_copy(update={"sentence": _sentence(corrected)}))
    return tuple(judged)


def once_in(p_value: float) -> str:
    """Return 1 / p_value in words, rounded down to two digits: ``1.9 million`` for 5.2e-07."""
    tests = (1 + 1e-12) / p_value  # as a float, 1 / 4e-9 is slightly below 250 million
    if tests >= 1e15:  # larger numbers have no common name
        return f"10^{math.floor(math.log10(tests))}"
    step = 10.0 ** max(0, math.floor(math.log10(tests)) - 1)
    rounded = math.floor(tests / step) * step
    for name, unit in (("trillion", 1e12), ("billion", 1e9), ("million", 1e6)):
        if rounded >= unit:
            return f"{rounded / unit:.2g} {name}" if rounded < 100 * unit else f"{rounded / unit:.0f} {name}"
    return f"{rounded:,.0f}"


def explain_p_value(null: NullClaim, p_value: float) -> str:
    """Return a sentence that explains a p-value and its assumption."""
    often = f"at most once in {once_in(p_value)} tests" if p_value <= 0.5 else "in most tests"
    result = f"an unrelated model would score this well {often} (p {p_value:.2g})."
    if null.kind == "design":
        return f"A{result[1:]}"
    sources = {"declared": "declared by the owner", "reference": "the limit measured on innocent models"}
    source = sources.get(null.kind, f"by the plug-in null {null.kind!r}")
    return (
        f"If an unrelated model hits each key with probability at most {null.bound:.3g} ({source}), whatever it hit before, "
        f"{result} If its hits come in runs, this number is too small."
    )


def _sentence(verdict: Verdict) -> str:
    answered = verdict.trials - verdict.unanswered
    seen = f"{verdict.hits} of {answered} answered keys got the secret response"
    if verdict.unanswered:
        seen += f", {verdict.unanswered} more got no answer"
    if verdict.outcome == "owned":
        return f"The mark is there: {seen}. {explain_p_value(verdict.null, verdict.p_value)}"
    if verdict.outcome == "not_shown":
        return (
            f"The mark was not shown: {seen}. A model with part of the mark would have hit more of them. "
            "This does not prove that the model is not yours."
        )
    return (
        f"Nothing is decided: {seen}. {explain_p_value(verdict.null, verdict.p_value)} "
        f"Once in {once_in(verdict.alpha)} was required. More keys may decide it."
    )
