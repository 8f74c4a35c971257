"""What a transcript shows: its entries weighed one after another, and the result in a record and a sentence."""

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
from insignia.terminal import shown
from insignia.verification.matching import Expected, Match, design_null, find, is_near
from insignia.verification.transcript import Entry, Rules

if TYPE_CHECKING:
    from insignia.statistics.nulls import Null

__all__ = ["ControlFinding", "NullClaim", "RunningVerdict", "Verdict", "judged_together", "once_in", "under_null"]

_LARGEST_LOG = 700.0  # of a float, rounded down: more evidence than that is not told apart
_SMALLEST = 5e-324


class NullClaim(Record):
    """What a verdict assumes of an innocent model."""

    kind: str
    """The null's name: design, reference, declared, or a plug-in's."""
    bound: float
    """The largest chance that it hits one trial."""


class ControlFinding(Record):
    """How a model that must not carry the mark did when it was asked what the suspect was asked."""

    name: str
    hits: int
    trials: int
    unanswered: int
    p_value: float
    """As the suspect's, by the same rules."""
    transcript: str
    """``sha256:...`` of its last line."""

    @classmethod
    def of(cls, verdict: "Verdict") -> "ControlFinding":
        """What a verdict on the control says, of which it is the suspect."""
        fields = {name: getattr(verdict, name) for name in cls.model_fields if name != "name"}
        return cls(name=verdict.suspect, **fields)


class Verdict(Displayed):
    """The outcome of a test and what it rests on; tells no key and no response."""

    outcome: Outcome
    hits: int
    trials: int
    """Keys asked, the unanswered ones included."""
    unanswered: int
    p_value: float
    """Valid whenever the test stopped; of several suspects judged together, after Holm's correction."""
    e_value: float
    alpha: float
    suspects: int
    """That share alpha."""
    null: NullClaim
    keys_spent: tuple[int, ...]
    """Numbers of the fingerprints whose keys the suspect has seen."""
    suspect: str
    transcript: str
    """``sha256:...`` of its last line."""
    match: Match
    manner: RequestOptions
    """How it was asked."""
    controls: tuple[ControlFinding, ...] = ()
    """Models that must not carry the mark and were asked the same keys."""
    sentence: str
    """The same for a reader who knows no statistics."""
    grinding_bits: float | None = None
    """Of a set whose responses a hash picked: the price of fitting one to this suspect (``pvalues.grinding_bits``), keys
    that nobody but the owner chose being counted as chosen from all. None where responses could be written, at no price."""
    near: Annotated[int | None, Field(exclude_if=lambda value: value is None)] = None
    """Keys whose response was among the first token's alternatives, as the suspect's side says: a hint, of no weight in the
    outcome. None where it gave none."""

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
        return shown(self.sentence)


class RunningVerdict:
    """A test under way: hears entries in the order in which they were asked, and knows when they suffice."""

    def __init__(self, rules: Rules, searches: Mapping[int, Expected], *, max_queries: int, all_keys: bool = False) -> None:
        """``searches`` has what is sought for every fingerprint number that may be heard of.

        With ``all_keys`` the test ends after ``max_queries`` keys and no earlier, as that of a control has to.

        Raises:
            InputError: alpha is no larger than the chance that the null is wrong, or the null is not one of this design.
        """
        if rules.null.name == "design" and rules.null != design_null(searches.values(), rules.match):
            raise InputError("the rules claim another number of candidates than the set's keys have; use the set's own null")
        self.rules = rules
        self.tally = Tally()
        self._null: Null = rules.null
        self._all_keys = all_keys
        self._searches = searches
        self._fewest = min((len(wanted.candidates) for wanted in searches.values()), default=0)
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
        """None while another key is needed."""
        if self._all_keys and self.tally.asked < self._test.max_queries:
            return None
        return self._test.outcome(self.tally)

    @property
    def keys_spent(self) -> tuple[int, ...]:
        """Numbers of the fingerprints heard of so far."""
        return tuple(self._spent)

    def hear(self, entry: Entry) -> None:
        """Weigh one entry; a cover question weighs nothing.

        Raises:
            InputError: the fingerprint is not in the set, or was asked before.
        """
        if entry.number is None:
            return
        if entry.number in self._spent or entry.number not in self._searches:
            raise InputError(f"fingerprint {entry.number} was asked twice or is not in the set; expected each at most once")
        self._spent[entry.number] = None
        if entry.reply.status != "answered":
            self.tally = self._test.after(self.tally, hit=None, bound=self._null.bound)
            return
        wanted = self._searches[entry.number]
        if entry.reply.alternatives:
            tokens = [alternative.text for alternative in entry.reply.alternatives]
            self._near = (self._near or 0) + is_near(tokens, wanted, self.rules.match)
        finding = find(entry.reply.text, wanted, self.rules.match)
        # The null counts with the candidates of the key that has fewest. A reply that gives as many shows nothing.
        bound = self._null.bound_given(min(finding.met, self._fewest))
        self.tally = self._test.after(self.tally, hit=finding.hit, bound=bound)

    def fewest_left(self) -> int:
        """Keys that are needed whatever they bring: the fewest after which the test can end, at least 1.

        As many may be asked at once, and none of them in vain.
        """
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
        """What has been shown so far; a test that is not over is inconclusive.

        ``chosen_from``: of a set with a chain, the number of keys that a claimant could choose those asked from.
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
    """Verdicts on several suspects by Holm's procedure, so that alpha holds for all of them together.

    Suspects that the rules count and that are not here are taken to be innocent. A mark may be found that was not when the
    suspect was judged alone at its share of alpha, and the other way round where the rules counted too few suspects. The
    verdicts are those of ``verify`` and ``judge``, not yet corrected.

    Raises:
        InputError: the verdicts were made at different alphas.
    """
    if len({verdict.alpha for verdict in verdicts}) > 1:
        raise InputError("the transcripts were made at different alphas; suspects judged together need the same")
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
    """``1.9 million`` for a p-value of 5.2e-07: how many tests come to one such result, rounded down to two digits."""
    tests = (1 + 1e-12) / p_value  # 1 / 4e-9 lies a bit below 250 million
    if tests >= 1e15:  # no reader knows the name of such a number
        return f"10^{math.floor(math.log10(tests))}"
    step = 10.0 ** max(0, math.floor(math.log10(tests)) - 1)
    rounded = math.floor(tests / step) * step
    for name, unit in (("trillion", 1e12), ("billion", 1e9), ("million", 1e6)):
        if rounded >= unit:
            return f"{rounded / unit:.2g} {name}" if rounded < 100 * unit else f"{rounded / unit:.0f} {name}"
    return f"{rounded:,.0f}"


def under_null(null: NullClaim, p_value: float) -> str:
    """What a p-value says, under exactly the assumption that it rests on."""
    result = f"an unrelated model would score this well at most once in {once_in(p_value)} tests (p {p_value:.2g})."
    if null.kind == "design":
        return f"A{result[1:]}"
    sources = {"declared": "as the owner says", "reference": "the limit measured on innocent models"}
    source = sources.get(null.kind, f"as the null {null.kind!r} of a plug-in says")
    return (
        f"If no key is hit by an unrelated model with a chance above {null.bound:.3g} ({source}), whatever it hit before, "
        f"{result} Where its hits come in runs, this number is too small."
    )


def _sentence(verdict: Verdict) -> str:
    answered = verdict.trials - verdict.unanswered
    seen = f"{verdict.hits} of {answered} answered keys got the secret response"
    if verdict.unanswered:
        seen += f", {verdict.unanswered} more got no answer"
    if verdict.outcome == "owned":
        return f"The mark is there: {seen}. {under_null(verdict.null, verdict.p_value)}"
    if verdict.outcome == "not_shown":
        return (
            f"The mark was not shown: {seen}. A model that had kept part of the mark would have given more of them. "
            "This does not prove that the model is not yours."
        )
    return (
        f"Nothing is decided: {seen}. {under_null(verdict.null, verdict.p_value)} "
        f"Once in {once_in(verdict.alpha)} was asked for. More keys may decide it."
    )
