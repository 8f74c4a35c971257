"""What a judge asks of evidence. The owner's own choices decide nothing: they are compared with it.

The owner chose alpha, the null and the manner of asking before the first question, or says so. A judge who did not choose
them sees a verdict only where they are no worse than the judge's own, and is told why where they are not.
"""

import math
from collections.abc import Sequence
from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from insignia.records import Record
from insignia.statistics.betting import Outcome
from insignia.statistics.nulls import MIN_PROBABILITY
from insignia.statistics.tails import log_binomial_tail
from insignia.verification.controls import reasons_for_doubt
from insignia.verification.verdict import ControlFinding, Verdict

__all__ = ["Judgement", "NullKind", "Standard", "apply_standard"]

NullKind = Literal["design", "reference", "declared"]


class Standard(Record):
    """The standard of proof."""

    alpha: Annotated[float, Field(ge=MIN_PROBABILITY, lt=1)] = 1e-6
    """The largest chance of an accusation of somebody innocent that is accepted."""
    nulls: tuple[NullKind, ...] = ("design",)
    """Kinds of null that are accepted. The others rest on a number that the owner gives."""
    any_manner: bool = False
    """Accept a system prompt that is not in the commitment, and sampling, where each repetition is another chance."""


class Judgement(NamedTuple):
    """What evidence shows to a judge."""

    outcome: Outcome
    p_value: float
    """It allows for the number of suspects, and for the owner's choice of keys where no judge chose them."""
    reasons: tuple[str, ...]
    """Why the owner's verdict does not stand; empty where it does."""


def apply_standard(
    standard: Standard,
    verdict: Verdict,
    controls: Sequence[ControlFinding],
    *,
    chosen_from: int | None,
    systems: Sequence[str],
    error: float = 0.0,
) -> Judgement:
    """Judge a verdict that was computed anew.

    Args:
        standard: The judge's.
        verdict: On the suspect, by the owner's rules.
        controls: What the models did that must not carry the mark.
        chosen_from: How many keys the owner could choose those shown from; None where a judge chose them.
        systems: The system prompts in the commitment.
        error: The chance that the null's bound is wrong.
    """
    p_value = verdict.p_value
    if chosen_from is not None:
        # However the keys were chosen, the whole set has at least the hits that are shown.
        tail = log_binomial_tail(verdict.hits, chosen_from, min(1.0, verdict.null.bound))
        p_value = max(p_value, min(1.0, error + math.exp(tail)))
    p_value = min(1.0, p_value * verdict.suspects)
    reasons = [*_about_choices(standard, verdict, systems), *reasons_for_doubt(controls)]
    if verdict.outcome == "owned" and p_value > standard.alpha:
        whose = "" if chosen_from is None else f", the owner's choice among {chosen_from} keys allowed for"
        asked = f"{standard.alpha:.2g} is asked for here, and {verdict.alpha:.2g} was by the owner"
        reasons.insert(0, f"the p-value is {p_value:.2g}{whose}; {asked}")
    if verdict.outcome == "not_shown":
        return Judgement("not_shown", p_value, tuple(reasons))
    return Judgement("owned" if p_value <= standard.alpha and not reasons else "inconclusive", p_value, tuple(reasons))


def _about_choices(standard: Standard, verdict: Verdict, systems: Sequence[str]) -> list[str]:
    reasons = []
    if verdict.null.kind not in standard.nulls:
        reasons.append(f"the null is a {verdict.null.kind} one; accepted: {', '.join(standard.nulls)} (--accept-null)")
    if not standard.any_manner and verdict.manner.system is not None and verdict.manner.system not in systems:
        reasons.append("the suspect was asked under a system prompt that is not in the commitment (--accept-manner)")
    if not standard.any_manner and verdict.manner.temperature > 0:
        reasons.append("the suspect's replies were sampled, so that each repetition is another chance (--accept-manner)")
    return reasons
