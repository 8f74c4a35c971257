"""Evidence that may be looked at after every trial: stop when it suffices, and the verdict is still honest.

The owner plays a fair game against the null. They begin with 1 and before each trial stake a fraction s of what they
have on a hit, at the odds that are fair if an innocent model hits with exactly the null's bound p: a hit makes each unit
``1 - s + s / p``, a miss ``1 - s``. If the null is true the game is fair or worse, and by Ville's inequality (Etude
critique de la notion de collectif, 1939) the owner ever reaches 1/alpha with a chance of at most alpha, whatever the
moment at which they stop, however the trials depend on each other, and however many bounds occur. What they hold is
called an e-value (Shafer, J. R. Statist. Soc. A 184, 2021; Ramdas et al., Statist. Sci. 38, 2023).

A stake of s grows fastest where a share s of the fingerprints survived (Kelly, Bell Syst. Tech. J. 35, 1956). That share
is unknown, so the 1 is divided among several stakes, and the sum of what they come to hold is an e-value again. To give
up is the same game with the sides changed: its null is that enough survived, its stake lies on misses.
"""

import math
from collections.abc import Iterator
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import Field

from insignia.errors import InputError
from insignia.records import Record

__all__ = ["MAX_QUERIES", "STAKES", "Evidence", "Forecast", "Outcome", "SequentialTest", "Stake", "Tally", "forecast"]

MAX_QUERIES = 128  # proves a mark of which 30 % survived with a chance of 0.975; see SequentialTest.max_queries

Outcome = Literal["owned", "not_shown", "inconclusive"]
"""What a test ends with: the mark is there; too few fingerprints are; the keys were spent before either was shown."""


class Stake(NamedTuple):
    """A part of the owner's capital, and the fraction of itself that it stakes on each hit."""

    fraction: float
    """In (0, 1): at 1, one miss would end the game."""
    capital: float


STAKES = (Stake(0.98, 0.06), Stake(0.6, 0.14), Stake(0.3, 0.66), Stake(0.1, 0.1), Stake(0.03, 0.04))
"""How the capital is divided. Six hits at 1/16 multiply it by at most 16^6 = 1.7e7, which leaves a factor of 17 above
1e6 to pay for not knowing the share that survived: alone, the first stake needs a capital of 0.067; with 0.06 and 0.14
the first two together reach 1.04e6. Where 30 % survive time is shortest, so that stake gets most, and what it lacks costs
it a little over one key. The last two are for the few fingerprints that outlive distillation; they cost the others half a
key. Against each share's own best stake the median number of keys is 6 for 6 at 0.98, 39 for 38 at 0.3 and 282 for 242 at
0.1 (p = 1/16, alpha = 1e-6; lost fingerprints hit like an innocent model's; exact, by ``forecast`` without giving up). If
lost ones never hit, 30 % take 51 keys, and no test whatever could take 40; a design null that counts only replies inside
the candidate set takes 19."""

_DOUBT = (Stake(0.8, 1.0),)  # grows fastest where 6 % hit in spite of a claim of 30 %: an innocent model at 1/16


class Evidence(NamedTuple):
    """An e-value against "each trial hits with at most its bound", as what each stake has come to hold."""

    stakes: tuple[Stake, ...] = STAKES
    log_gains: tuple[float, ...] = (0.0,) * len(STAKES)
    """For each stake, the logarithm of its present capital over its first."""

    @classmethod
    def opening(cls, stakes: tuple[Stake, ...]) -> Self:
        """The e-value 1, divided so; the capitals must add up to 1."""
        return cls(stakes, (0.0,) * len(stakes))

    @property
    def log_e(self) -> float:
        """The logarithm of the e-value."""
        logs = [math.log(stake.capital) + gain for stake, gain in zip(self.stakes, self.log_gains, strict=True)]
        largest = max(logs)
        return largest + math.log(math.fsum(math.exp(log - largest) for log in logs))

    def after(self, *, hit: bool, bound: float) -> "Evidence":
        """The evidence with one more trial, whose outcome the bound was fixed without.

        Nothing is staked where the bound is 0 or 1: no hit can come, or none would show anything.

        Raises:
            InputError: a hit where the bound excludes it, or a bound outside [0, 1].
        """
        if not 0 <= bound <= 1 or (hit and bound == 0):
            raise InputError(
                f"a {'hit' if hit else 'miss'} under a bound of {bound}; expected one in [0, 1], above 0 for a hit"
            )
        if bound in {0, 1}:
            return self
        gains = zip(self.stakes, self.log_gains, strict=True)
        if hit:
            return self._replace(log_gains=tuple(gain + math.log1p(s.fraction * (1 - bound) / bound) for s, gain in gains))
        return self._replace(log_gains=tuple(gain + math.log1p(-s.fraction) for s, gain in gains))


class Tally(NamedTuple):
    """What is known after some trials; ``asked`` counts the unanswered ones, too."""

    hits: int = 0
    misses: int = 0
    unanswered: int = 0
    evidence: Evidence = Evidence()
    """Against the null: the mark is there."""
    doubt: Evidence = Evidence.opening(_DOUBT)
    """Against the claim that enough fingerprints survived."""
    peak: float = 0.0
    """The largest logarithm that the evidence has had; evidence once won is not lost by asking on."""

    @property
    def asked(self) -> int:
        """Keys spent."""
        return self.hits + self.misses + self.unanswered

    @property
    def log_p_value(self) -> float:
        """The logarithm of a p-value that is valid whenever one stops: 1 over the largest e-value so far, at most 1.

        Where the null may be wrong, ``Null.corrected`` has the last word.
        """
        return min(0.0, -self.peak)


class SequentialTest(Record):
    """When to stop asking, and what has then been shown."""

    alpha: Annotated[float, Field(gt=0, lt=1)] = 1e-6
    """The largest chance of calling an innocent model owned; ``Null.level`` of what is wanted, where the null may be wrong."""
    survival: Annotated[float, Field(gt=0, lt=1)] = 0.3
    """Below this share of hits a mark counts as not shown. Merging by half and 8,192 keys' fine-tuning leave twice as
    much of published marks (statistics.md 2)."""
    futility: Annotated[float, Field(gt=0, lt=1)] = 0.01
    """The largest chance of giving up on a model that hits with ``survival`` or more. A model that never hits costs 16
    keys at 0.01 and 11 at 0.05; an owner has keys to spare and one verdict to win."""
    max_queries: Annotated[int, Field(ge=1)] = 128
    """Keys to spend at most. At 128 a model with 30 % of hits is proven with a chance of 0.975 (1/16, alpha 1e-6)."""

    def after(self, tally: Tally, *, hit: bool | None, bound: float) -> Tally:
        """The tally with one more trial; ``hit`` is None for one that was not answered, which shows nothing.

        ``bound`` is ``Null.bound_given`` for this trial.

        Raises:
            InputError: a hit where the bound excludes it, or a bound outside [0, 1].
        """
        if hit is None:
            return tally._replace(unanswered=tally.unanswered + 1)
        evidence = tally.evidence.after(hit=hit, bound=bound)
        return tally._replace(
            hits=tally.hits + hit,
            misses=tally.misses + (not hit),
            evidence=evidence,
            doubt=tally.doubt.after(hit=not hit, bound=1 - self.survival),
            peak=max(tally.peak, evidence.log_e),
        )

    def outcome(self, tally: Tally) -> Outcome | None:
        """What the tally shows; None asks for another key."""
        if tally.peak >= -math.log(self.alpha):
            return "owned"
        if tally.doubt.log_e >= -math.log(self.futility):
            return "not_shown"
        return "inconclusive" if tally.asked >= self.max_queries else None


class Forecast(NamedTuple):
    """How a test will have ended after so many keys."""

    asked: int
    owned: float
    """The chance of proof by then."""
    not_shown: float
    """The chance of having given up by then."""


def forecast(test: SequentialTest, hit_rate: float, bound: float) -> Iterator[Forecast]:
    """The chances of each outcome after 1, 2, ... ``max_queries`` keys, when each hits with ``hit_rate`` independently.

    Exact, by recursion over the number of hits: with one bound, to stop depends on nothing else. Takes O(n w) for n keys
    and the w numbers of hits at which the test goes on, at most n and typically 30.

    Raises:
        InputError: a bound or a rate outside [0, 1].
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
