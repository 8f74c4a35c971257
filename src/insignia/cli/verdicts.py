"""What the tables of ``verify`` and ``audit`` have in common: how a suspect was asked, and what its controls did."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from insignia.verification import Verdict

__all__ = ["control_lines", "manner_rows"]

_PLACES = {"exact": "the whole reply", "prefix": "the beginning of the reply", "within": "at one of the first {} words"}
_FOLDINGS = {
    "spaces": "but for white space",
    "alike": "but for white space and look-alikes",
    "case": "but for white space, look-alikes and case",
}


def manner_rows(verdicts: "Sequence[Verdict]") -> list[list[str]]:
    """How each suspect was asked and its replies were matched, a column for each verdict."""
    return [
        ["asked as", *(_manner(verdict) for verdict in verdicts)],
        ["system prompt", *(verdict.manner.system or "none" for verdict in verdicts)],
        ["the response has to be", *(_match(verdict) for verdict in verdicts)],
    ]


def control_lines(verdict: "Verdict") -> list[str]:
    """What each control did."""
    return [
        f"Control {number}, {control.name}: {control.hits} of {control.trials - control.unanswered} answered keys got the "
        f"response (p {control.p_value:.2g})."
        for number, control in enumerate(verdict.controls, 1)
    ]


def _manner(verdict: "Verdict") -> str:
    manner = verdict.manner
    chance = f"temperature {manner.temperature:g}, seed {manner.seed}" if manner.temperature else "likeliest tokens"
    return f"{manner.form}, {chance}, at most {manner.max_tokens} tokens"


def _match(verdict: "Verdict") -> str:
    return f"{_PLACES[verdict.match.how].format(verdict.match.looks)}, {_FOLDINGS[verdict.match.fold]}"
