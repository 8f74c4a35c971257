"""Sequential testing by betting: a test that may stop after any trial and stays valid.

The owner bets against the null. They start with capital 1 and before each trial stake a fraction s of it on a hit, at
odds that are fair if hits have probability p, the null's bound: a hit multiplies the capital by ``1 - s + s / p``, a miss
by ``1 - s``. If the null is true, the capital ever reaches 1/alpha with probability at most alpha, by Ville's inequality
(Etude critique de la notion de collectif, 1939). This holds for any stopping rule, any dependence between trials and
bounds that vary. The capital is an e-value (Shafer, J. R. Statist. Soc. A 184, 2021; Ramdas et al., Statist. Sci. 38, 2023).

A stake of s grows fastest if a share s of trials hit (Kelly, Bell Syst. Tech. J. 35, 1956). The share is unknown, so the
capital is divided among several stakes; their sum is an e-value too. Giving up is the reverse bet: its null is that enough
trials hit, and it stakes on misses.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import Field

from insignia.errors import InputError
from insignia.records import Record
from insignia.statistics.ranks import Place, RankEvidence, log_sum

__all__ = ["MAX_QUERIES", "STAKES", "Evidence", "Forecast", "Outcome", "SequentialTest", "Stake", "Tally", "forecast"]

MAX_QUERIES = 128  # proves a mark of which 30 % survived with a chance of 0.975; see SequentialTest.max_queries

Outcome = Literal["owned", "not_shown", "inconclusive"]
"""How a test ends: the mark was proven, too few fingerprints hit, or the keys ran out first."""


class Stake(NamedTuple):
    """A part of the capital with its own stake."""

    fraction: float
    """Fraction staked on each trial, in (0, 1)."""
    capital: float
    """Share of the capital at the start."""


STAKES = (Stake(0.98, 0.06), Stake(0.6, 0.14), Stake(0.3, 0.66), Stake(0.1, 0.1), Stake(0.03, 0.04))
"""Division of the capital. Six hits at 1/16 must reach 1e6: they multiply capital by at most 16^6 = 1.7e7, so the first
stake alone would need 0.067; with 0.06 and 0.14, the first two together reach 1.04e6. Most capital is on 0.3, where keys
are scarcest. The last two stakes are for the few fingerprints that survive distillation and cost the others half a key.
Median number of keys, against the best single stake: 6 (6) at 98 % survival, 39 (38) at 30 %, 282 (242) at 10 %, for
p = 1/16 and alpha = 1e-6 if lost fingerprints hit like an innocent model's (exact, by ``forecast`` without giving up). If
lost ones never hit, 30 % survival takes 51 keys, and no test could take fewer than 40; a design null, which counts only
replies in the candidate set, takes 19."""

_DOUBT = (Stake(0.8, 1.0),)  # grows fastest if 6 % hit, as an innocent model does at 1/16, against a claim of 30 %


class Evidence(NamedTuple):
    """An e-value against the hypothesis that each trial hits with probability at most its bound."""

    stakes: tuple[Stake, ...] = STAKES
    log_gains: tuple[float, ...] = (0.0,) * len(STAKES)
    """Logarithm of the growth of each stake's capital."""

    @classmethod
    def opening(cls, stakes: tuple[Stake, ...]) -> Self:
        """Return the e-value 1, divided among stakes whose capital sums to 1."""
        return cls(stakes, (0.0,) * len(stakes))

    @property
    def log_e(self) -> float:
        """Logarithm of the e-value."""
        return log_sum([math.log(stake.capital) + gain for stake, gain in zip(self.stakes, self.log_gains, strict=True)])

    @property
    def grows(self) -> bool:
        """Whether a test should go on although few keys hit; no, where hits are all that counts."""
        return False

    def after(self, *, hit: bool, bound: float) -> "Evidence":
        """Return the evidence after one more trial. The bound must not depend on its outcome.

        Nothing is staked at a bound of 0 or 1, where no hit is possible or none shows anything.

        Raises:
            InputError: the bound is outside [0, 1], or 0 for a hit.
        """
        if not 0 <= bound <= 1 or (hit and bound == 0):
            raise InputError(f"the bound of a {'hit' if hit else 'miss'} is {bound}; expected [0, 1], above 0 for a hit")
        if bound in {0, 1}:
            return self
        gains = zip(self.stakes, self.log_gains, strict=True)
        if hit:
            return self._replace(log_gains=tuple(gain + math.log1p(s.fraction * (1 - bound) / bound) for s, gain in gains))
        return self._replace(log_gains=tuple(gain + math.log1p(-s.fraction) for s, gain in gains))


class Tally(NamedTuple):
    """Counts and evidence after some trials."""

    hits: int = 0
    misses: int = 0
    unanswered: int = 0
    evidence: Evidence | RankEvidence = Evidence()
    """Evidence against the null, and so for the mark."""
    doubt: Evidence = Evidence.opening(_DOUBT)
    """Evidence against the claim that enough fingerprints survived."""
    peak: float = 0.0
    """Largest log e-value so far. More trials do not reduce it."""

    @property
    def asked(self) -> int:
        """Number of trials, including unanswered ones."""
        return self.hits + self.misses + self.unanswered

    @property
    def log_p_value(self) -> float:
        """Logarithm of the anytime-valid p-value, min(1, 1 / largest e-value); ``Null.corrected`` allows for a wrong null."""
        return min(0.0, -self.peak)


class SequentialTest(Record):
    """The stopping rule of a test and its outcome."""

    alpha: Annotated[float, Field(gt=0, lt=1)] = 1e-6
    """Largest probability of calling an innocent model owned, after ``Null.level``."""
    survival: Annotated[float, Field(gt=0, lt=1)] = 0.3
    """Share of hits below which a mark counts as not shown. Published marks keep twice as much after merging by half or
    fine-tuning on 8,192 keys (statistics.md 2)."""
    futility: Annotated[float, Field(gt=0, lt=1)] = 0.01
    """Largest probability of giving up on a model with a hit rate of at least ``survival``. A model that never hits costs 16
    keys at 0.01 and 11 at 0.05."""
    max_queries: Annotated[int, Field(ge=1)] = 128
    """Most keys to ask. With 128, a model with 30 % of hits is proven with probability 0.975 (p = 1/16, alpha = 1e-6)."""

    def after(self, tally: Tally, *, hit: bool | None, bound: float) -> Tally:
        """Return the tally after one more trial with this bound; ``hit`` is None if it was unanswered.

        Raises:
            InputError: the bound is outside [0, 1], or 0 for a hit.
        """
        if hit is None:
            return tally._replace(unanswered=tally.unanswered + 1)
        if not isinstance(tally.evidence, Evidence):
            raise InputError("this test bets on places, not on hits; expected a key's places")
        return self._counted(tally, tally.evidence.after(hit=hit, bound=bound), hit=hit)

    def after_places(self, tally: Tally, views: Sequence[Sequence[Place]]) -> Tally:
        """Return the tally, which began with ``RankEvidence``, after one more answered key; see ``RankEvidence.after``.

        It hits if the response comes first: as scored for a whole order, and else in the last view, which shows best what a
        mark has moved.

        Raises:
            InputError: a place is not within 1..of.
        """
        if not isinstance(tally.evidence, RankEvidence):
            raise InputError("this test bets on hits, not on places; expected a hit or a miss")
        shown = views[-1] if len(views[-1]) <= 1 else views[0]
        return self._counted(tally, tally.evidence.after(views), hit=bool(shown) and shown[0].last == 1)

    def _counted(self, tally: Tally, evidence: Evidence | RankEvidence, *, hit: bool) -> Tally:
        return tally._replace(
            hits=tally.hits + hit,
            misses=tally.misses + (not hit),
            evidence=evidence,
            doubt=tally.doubt.after(hit=not hit, bound=1 - self.survival),
            peak=max(tally.peak, evidence.log_e),
        )

    def outcome(self, tally: Tally) -> Outcome | None:
        """Return the outcome, or None if another key is needed."""
        if tally.peak >= -math.log(self.alpha):
            return "owned"
        if tally.doubt.log_e >= -math.log(self.futility) and not tally.evidence.grows:
            return "not_shown"
        return "inconclusive" if tally.asked >= self.max_queries else None


class Forecast(NamedTuple):
    """Probabilities that a test has ended after some number of keys."""

    asked: int
    """Number of keys."""
    owned: float
    """Probability that the mark is proven by then."""
    not_shown: float
    """Probability that the test has given up by then."""


def forecast(test: SequentialTest, hit_rate: float, bound: float) -> Iterator[Forecast]:
    """Forecast a test after 1, 2, ... ``max_queries`` keys that hit independently with probability ``hit_rate``.

    Exact, by recursion over the number of hits. Takes O(n w) for n keys and the w numbers of hits at which the test goes
    on, typically 30.

    Raises:
        InputError: the bound or the rate is outside [0, 1].
    """
    if not 0 <= hit_rate <= 1:
        raise InputError(f"a hit rate of {hit_rate}; expected a number from 0 to 1")
    alive = {0: (1.0, Tally())}
    ended: dict[Outcome, float] = {"owned": 0.0, "not_shown": 0.0, "inconclusive": 0.0}
    for asked in range(1, test.max_queries + 1):
        reached: dict[int, tuple[float, Tally]] = {}
        for hits, (probability, tally) in alive.items():
            for hit, share in ((False, 1 - hit_rate), (True, hit_rate)):
                if share and hits + hit in reached:
                    known, following = reached[hits + hit]
                    reached[hits + hit] = (known + probability * share, following)
                elif share:
                    reached[hits + hit] = (probability * share, test.after(tally, hit=hit, bound=bound))
        alive = {}
        for hits, (probability, tally) in reached.items():
            if outcome := test.outcome(tally):
                ended[outcome] += probability
            else:
                alive[hits] = (probability, tally)
        yield Forecast(asked, ended["owned"], ended["not_shown"])
