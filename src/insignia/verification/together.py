"""The verdicts of several tests, corrected so that all of them share alpha."""

import math
from collections.abc import Sequence

from insignia.errors import InputError
from insignia.statistics.tails import holm
from insignia.verification.verdict import SMALLEST_P_VALUE, Verdict
from insignia.verification.wording import explain_verdict

__all__ = ["judged_together"]


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
        outcome = verdict.outcome
        if math.exp(log_p) <= verdict.alpha:
            outcome = "owned"
        elif outcome == "owned":
            outcome = "inconclusive"
        p_value = max(SMALLEST_P_VALUE, math.exp(log_p))
        corrected = verdict.model_copy(update={"outcome": outcome, "p_value": p_value, "suspects": family})
        judged.append(corrected.model_copy(update={"sentence": explain_verdict(corrected)}))
    return tuple(judged)
