"""The judge's standard of proof. It decides, not the owner's choices.

The owner chose alpha, null and request options, supposedly before the first question. The judgement is "owned" only if they
meet the judge's standard; otherwise it has the reasons.
"""

import math
from collections.abc import Sequence
from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from insignia.records import Flag, Record
from insignia.statistics.betting import Outcome
from insignia.statistics.nulls import MIN_PROBABILITY
from insignia.statistics.ranks import log_p_of_chosen
from insignia.statistics.tails import log_binomial_tail
from insignia.verification.controls import doubts
from insignia.verification.verdict import ControlFinding, Verdict

__all__ = ["Judgement", "NullKind", "Standard", "apply_standard"]

NullKind = Literal["design", "reference", "declared"]


class Standard(Record):
    """A judge's standard of proof."""

    alpha: Annotated[float, Field(ge=MIN_PROBABILITY, lt=1)] = 1e-6
    """Largest chance of accusing an innocent model that you accept."""
    nulls: Annotated[tuple[NullKind, ...], Flag(hidden=True)] = ("design",)
    """Accepted kinds of null. All but ``design`` depend on a number that the owner gives."""
    any_manner: Annotated[bool, Flag("--accept-manner")] = False
    """Accept a system prompt that is not in the commitment, and sampled replies, where every repetition is another chance."""


class Judgement(NamedTuple):
    """The result of evidence under a standard."""

    outcome: Outcome
    p_value: float
    """p-value that allows for the number of suspects and, without a challenge, for the owner's choice of keys."""
    reasons: tuple[str, ...]
    """Why the owner's verdict is not accepted; empty if it is."""


def apply_standard(
    standard: Standard,
    verdict: Verdict,
    controls: Sequence[ControlFinding],
    *,
    chosen_from: int | None,
    systems: Sequence[str],
    error: float = 0.0,
) -> Judgement:
    """Judge a recomputed verdict.

    Args:
        standard: The judge's standard.
        verdict: The verdict on the suspect under the owner's rules.
        controls: Results of models that must not carry the mark.
        chosen_from: Number of keys that the owner chose the asked ones from; None if a challenge chose them.
        systems: System prompts in the commitment.
        error: Probability that the null's bound is wrong.
    """
    p_value = verdict.p_value
    if chosen_from is not None:
        if verdict.graded:
            tail = log_p_of_chosen(math.log(verdict.e_value), verdict.trials - verdict.unanswered, chosen_from)
        else:  # however the keys were chosen, the whole set has at least these hits
            tail = log_binomial_tail(verdict.hits, chosen_from, min(1.0, verdict.null.bound))
        p_value = max(p_value, min(1.0, error + math.exp(tail)))
    p_value = min(1.0, p_value * verdict.suspects)
    reasons = [*_about_choices(standard, verdict, systems), *doubts(controls)]
    if verdict.outcome == "owned" and p_value > standard.alpha:
        whose = "" if chosen_from is None else f", allowing for the owner's choice among {chosen_from} keys"
        required = f"the judge requires {standard.alpha:.2g}, the owner required {verdict.alpha:.2g}"
        reasons.insert(0, f"the p-value is {p_value:.2g}{whose}; {required}")
    if verdict.outcome == "not_shown":
        return Judgement("not_shown", p_value, tuple(reasons))
    return Judgement("owned" if p_value <= standard.alpha and not reasons else "inconclusive", p_value, tuple(reasons))


def _about_choices(standard: Standard, verdict: Verdict, systems: Sequence[str]) -> list[str]:
    reasons = []
    if verdict.null.kind not in standard.nulls:
        reasons.append(f"the null is of kind {verdict.null.kind}; accepted: {', '.join(standard.nulls)} (--accept-null)")
    if not standard.any_manner and verdict.manner.system is not None and verdict.manner.system not in systems:
        reasons.append("the suspect was asked under a system prompt that is not in the commitment (--accept-manner)")
    if not standard.any_manner and verdict.manner.temperature > 0:
        reasons.append("the suspect's replies were sampled, so every repetition is another chance (--accept-manner)")
    return reasons
