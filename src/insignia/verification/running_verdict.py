"""A test in progress: the entries of a transcript are added one by one, and it says when to stop."""

import itertools
import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from insignia.errors import InputError
from insignia.statistics.betting import Outcome, SequentialTest, Tally
from insignia.statistics.ranks import RankEvidence, log_p_of_chosen
from insignia.statistics.tails import grinding_bits
from insignia.suspects.base import CHANNELS, Channel
from insignia.verification.matching import Expected, design_null, find, is_near
from insignia.verification.places import perfect_places, places
from insignia.verification.transcript import Entry, Rules
from insignia.verification.verdict import SMALLEST_P_VALUE, NullClaim, Verdict
from insignia.verification.wording import explain_verdict

if TYPE_CHECKING:
    from insignia.statistics.nulls import Null

__all__ = ["RunningVerdict", "is_graded"]

_LARGEST_LOG = 700.0  # logarithm of the largest float, rounded down


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
        self.graded = is_graded(rules, searches.values())
        self.tally = Tally(evidence=RankEvidence()) if self.graded else Tally()
        self.channel: Channel = rules.channel
        """The channel of the last key, which later ones may not exceed."""
        self._null: Null = rules.null
        self._all_keys = all_keys
        self._searches = searches
        self._fewest = min((len(expected.candidates) for expected in searches.values()), default=0)
        self._spent: dict[int, None] = {}  # in the order of asking
        self._near: int | None = None
        self._growth: list[float] = []
        self._by_channel: dict[Channel, int] = {}
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
        self._count(entry, entry.number)
        self._growth.append(round(self.tally.evidence.log_e / math.log(10), 4))

    def _count(self, entry: Entry, number: int) -> None:
        if number in self._spent or number not in self._searches:
            raise InputError(f"fingerprint {number} was asked twice or is not in the set; expected each at most once")
        self._spent[number] = None
        if CHANNELS.index(entry.reply.channel) < CHANNELS.index(self.channel):
            raise InputError(
                "a key was asked by a stronger channel than the rules or an earlier key; expected the same or weaker"
            )
        self.channel = entry.reply.channel
        if entry.reply.status != "answered":
            self.tally = self._test.after(self.tally, hit=None, bound=self._null.bound)
            return
        expected = self._searches[number]
        self._by_channel[self.channel] = self._by_channel.get(self.channel, 0) + 1
        if self.graded:
            self.tally = self._test.after_places(self.tally, places(entry.reply, expected, self.rules.match))
            return
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
        if self.graded:
            return self._min_graded_keys_left()
        all_hit = all_miss = self.tally
        for more in itertools.count(1):
            all_hit = self._test.after(all_hit, hit=True, bound=self._null.bound_given(1))
            all_miss = self._test.after(all_miss, hit=False, bound=self._null.bound)
            if self._test.outcome(all_hit) or self._test.outcome(all_miss):
                return more
        raise AssertionError  # pragma: no cover  # for the type checker: the loop has no end

    def _min_graded_keys_left(self) -> int:
        """As ``min_keys_left``; giving up is not foreseen, since what a bad key looks like depends on all others."""
        best = self.tally
        clearest = max(self._searches.values(), key=lambda expected: (len(expected.further), len(expected.candidates)))
        seen = perfect_places(clearest, whole=self.channel in {"scores", "top"})
        for more in itertools.count(1):
            best = self._test.after_places(best, seen)
            if self._test.outcome(best):
                return more
        raise AssertionError  # pragma: no cover  # for the type checker: the loop has no end

    def verdict(self, *, suspect: str, transcript: str, chosen_from: int | None = None) -> Verdict:
        """Return the verdict so far; an unfinished test is inconclusive.

        ``chosen_from`` is the number of keys that the asked ones were chosen from, for a set with a chain.
        """
        tally = self.tally
        verdict = Verdict(
            outcome=self.outcome or "inconclusive",
            hits=tally.hits,
            trials=tally.asked,
            unanswered=tally.unanswered,
            p_value=max(SMALLEST_P_VALUE, math.exp(self._null.corrected(tally.log_p_value))),
            e_value=math.exp(max(-_LARGEST_LOG, min(tally.evidence.log_e, _LARGEST_LOG))),
            alpha=self.rules.alpha,
            suspects=self.rules.suspects,
            null=NullClaim(kind=self.rules.null.name, bound=self._null.bound),
            keys_spent=self.keys_spent,
            suspect=suspect,
            transcript=transcript,
            match=self.rules.match,
            manner=self.rules.manner,
            sentence="",
            grinding_bits=self._grinding_bits(chosen_from) if chosen_from else None,
            near=self._near,
            graded=self.graded,
            log10_e_values=tuple(self._growth),
            by_channel=self._by_channel if self.graded or self.rules.channel != "text" else {},
        )
        return verdict.model_copy(update={"sentence": explain_verdict(verdict)})

    def _grinding_bits(self, chosen_from: int) -> float | None:
        if self.graded:
            return max(0.0, -log_p_of_chosen(self.tally.evidence.log_e, self.tally.asked, chosen_from)) / math.log(2)
        design = design_null(self._searches.values(), self.rules.match)
        return None if design is None else grinding_bits(self.tally.hits, chosen_from, design.bound)


def is_graded(rules: Rules, searches: Iterable[Expected]) -> bool:
    """Whether a test bets on places and not on hits: where it sees more than text, or the set has a secret order."""
    if rules.null.name != "design" or rules.match.looks > 1:
        return False
    return rules.channel in {"scores", "top"} or any(len(expected.order) > 1 for expected in searches)
