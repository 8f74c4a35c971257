"""One innocent before one secret: what verify says, what the p-values are, and what other verdicts would say."""

import math
from typing import NamedTuple, Self

from insignia.fingerprints.sets import FingerprintSet
from insignia.randomness import KeyedRandom
from insignia.records import Fingerprint
from insignia.statistics.nulls import AnyNull, DeclaredNull, ReferenceNull, ReferenceTrials
from insignia.statistics.tails import log_binomial_tail
from insignia.suspects.base import Reply
from insignia.suspects.scripted import ScriptedModel
from insignia.verification import Verdict, rules_for, verify
from insignia.verification.matching import Expected, Finding, Match, design_null, expected_responses, find
from insignia.verification.transcript import Rules

ALPHAS = (0.05, 0.01, 0.001)
_FUTILITY = Rules.model_fields["futility"].default
_NEVER = 1e-100  # an alpha that is not reached, and a chance at which nobody gives up
_RISK = 1e-4  # of a reference null: a tenth of the least alpha

Replies = dict[str, str | None]
"""Key -> what was said; None: nothing."""


class Test(NamedTuple):
    """A null and a way to match."""

    strategy: str
    null: str
    match: Match = Match()
    every_draw: bool = True
    """Else the first of each seed, which is enough to see."""

    def __str__(self) -> str:
        how = f", within:{self.match.looks}" if self.match.how == "within" else ""
        return f"{self.strategy}, {self.null}{how}"


class Judged(NamedTuple):
    """What one test made of one innocent and one secret."""

    fixed: float
    """p-value when all keys are asked."""
    any_time: float
    """p-value at the moment that suits the accuser best, of one who looks after each reply and never gives up."""
    owned: tuple[bool, ...]
    """By verify as it runs, at each alpha."""


def key_of(fingerprint: Fingerprint) -> str:
    """The text that is asked."""
    return fingerprint.asked_key


class Case(NamedTuple):
    """A set of fingerprints, and what is sought for each of its keys."""

    prints: FingerprintSet
    wanted: dict[str, Expected]

    @classmethod
    def of(cls, prints: FingerprintSet) -> Self:
        return cls(
            prints,
            {
                key_of(fingerprint): expected_responses(fingerprint, prints.max_response_length, Match())
                for fingerprint in prints
            },
        )

    def findings(self, replies: Replies, match: Match) -> list[Finding]:
        """Of every answered key."""
        return [find(text, wanted, match) for key, wanted in self.wanted.items() if (text := replies[key]) is not None]


def redrawn(prints: FingerprintSet, secret: bytes) -> FingerprintSet:
    """The same keys and candidates, the responses drawn from them by another secret as ``generate`` does it."""
    chance = KeyedRandom(secret)
    drawn = []
    for slot, fingerprint in enumerate(prints):
        candidate = chance.derive("answer", slot, 0).choice(fingerprint.candidates)
        text, token = (candidate.text,), (candidate.token_id,)
        update = {"responses": text, "effective_responses": text, "response_ids": (token,)}
        drawn.append(fingerprint.model_copy(update=update))
    return prints.model_copy(update={"fingerprints": tuple(drawn), "secret": secret.hex()})


def judge(test: Test, case: Case, replies: Replies, base: Replies) -> Judged:
    """Run the test, fixed and stopped at will, on replies that are written down."""
    null = _null(test, case, base)
    found = case.findings(replies, test.match)
    fixed = math.exp(null.log_p_value(sum(one.hit for one in found), [one.met for one in found]))
    table = {key: Reply.unanswered("refused") if replies[key] is None else Reply.said(replies[key]) for key in case.wanted}

    def verdict(alpha: float, futility: float) -> Verdict:
        rules = rules_for(case.prints, null=null, match=test.match, alpha=alpha, futility=futility, cover=0)
        return verify(case.prints, ScriptedModel(table), rules=rules)

    any_time = verdict(max(_NEVER, 2 * null.error), _NEVER).p_value
    # Verify hears the beginning of the same replies in the same order: it cannot accuse where no moment at all would.
    owned = tuple(any_time <= alpha and verdict(alpha, _FUTILITY).outcome == "owned" for alpha in ALPHAS)
    return Judged(fixed, any_time, owned)


def naive(case: Case, replies: Replies, base: Replies) -> dict[str, tuple[bool, ...]]:
    """Whether verdicts without an honest null would accuse, at each alpha.

    A threshold knows no null at all; the base's own rate is a point, and not the suspect's; the normal curve has too thin
    a tail for so few hits; and a p-value for a fixed number of keys is not one for whoever looks each time.
    """
    hits = [one.hit for one in case.findings(replies, Match())]
    of_base = [one.hit for one in case.findings(base, Match())]
    asked, total, chance = len(hits), sum(hits), 1 / case.prints.strategy["nucleus_k"]
    z = (total - asked * chance) / math.sqrt(max(1, asked) * chance * (1 - chance))
    log_ps = {
        "binomial at the base's rate": log_binomial_tail(total, asked, (sum(of_base) + 1) / (len(of_base) + 2)),
        "z-test against 1/k": math.log(0.5 * math.erfc(z / math.sqrt(2))),
        "binomial at 1/k after each reply": min(
            (log_binomial_tail(sum(hits[:seen]), seen, chance) for seen in range(1, asked + 1)), default=0.0
        ),
    }
    threshold = {"success rate of 10 % or more": (total >= 0.1 * asked > 0,) * len(ALPHAS)}
    return threshold | {name: tuple(log_p <= math.log(alpha) for alpha in ALPHAS) for name, log_p in log_ps.items()}


def at_most(count: int, alpha: float, risk: float = 0.01) -> int:
    """The number that a binomial (count, alpha) number exceeds with a chance of at most ``risk``."""
    mean = int(count * alpha)  # no median lies below it
    return next(most for most in range(mean, count + 1) if log_binomial_tail(most + 1, count, alpha) <= math.log(risk))


def _null(test: Test, case: Case, base: Replies) -> AnyNull:
    if test.null == "design":
        null = design_null(case.wanted.values(), test.match)
        assert null is not None, "the set has no candidates"
        return null
    if test.null == "declared 1/k":
        return DeclaredNull(chance=1 / case.prints.strategy["nucleus_k"])
    found = case.findings(base, test.match)
    return ReferenceNull(models=(ReferenceTrials(hits=sum(one.hit for one in found), trials=len(found)),), risk=_RISK)
