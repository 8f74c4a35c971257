"""Verdicts as a person reads them: the report of ``verify``, and the rows that ``audit`` shows, too."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from insignia.cli.console import emit_json, say, show_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from insignia.verification import Verdict

__all__ = ["control_lines", "manner_rows", "report"]

_STATUS = {"owned": 0, "inconclusive": 4, "not_shown": 3}  # of several suspects, the first of these that occurs

_PLACES = {"exact": "the whole reply", "prefix": "the beginning of the reply", "within": "at one of the first {} words"}
_FOLDINGS = {
    "spaces": "but for white space",
    "alike": "but for white space and look-alikes",
    "case": "but for white space, look-alikes and case",
}


def report(verdicts: "Sequence[Verdict]", output: Path | None, *, shown: bool, json_output: bool) -> None:
    """Show or print the verdicts, write them where wished, and end with their exit status."""
    from insignia.files import write_json

    results = [verdict.model_dump(mode="json") for verdict in verdicts]
    result = results[0] if len(results) == 1 else {"verdicts": results}
    if output is not None:
        write_json(output, result)
    if json_output:
        emit_json(result)
    else:
        _show(verdicts, shown=shown)
    if status := _exit_status(verdicts):
        raise typer.Exit(status)


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


def _show(verdicts: "Sequence[Verdict]", *, shown: bool) -> None:
    rows = [
        ["outcome", *(verdict.outcome.replace("_", " ") for verdict in verdicts)],
        ["hits / answered", *(f"{verdict.hits} / {verdict.trials - verdict.unanswered}" for verdict in verdicts)],
        ["unanswered", *(str(verdict.unanswered) for verdict in verdicts)],
        ["p-value", *(f"{verdict.p_value:.2g}" for verdict in verdicts)],
        ["an unrelated model hits, at most", *(f"{verdict.null.bound:.3g} ({verdict.null.kind})" for verdict in verdicts)],
        ["keys asked, and so spent" if shown else "keys asked", *(str(verdict.trials) for verdict in verdicts)],
    ]
    if any(verdict.grinding_bits is not None for verdict in verdicts):
        rows.append(["grinding bits", *("-" if v.grinding_bits is None else f"{v.grinding_bits:.1f}" for v in verdicts)])
    if any(verdict.near is not None for verdict in verdicts):
        rows.append(["response among likeliest first tokens", *("-" if v.near is None else str(v.near) for v in verdicts)])
    rows += manner_rows(verdicts)
    show_table("Verdict" if len(verdicts) == 1 else "Verdicts", ["", *(verdict.suspect for verdict in verdicts)], rows)
    for verdict in verdicts:
        for line in control_lines(verdict):
            say(line)
        say(verdict.sentence)


def _exit_status(verdicts: "Sequence[Verdict]") -> int:
    """Of several suspects: 0 when the mark is in any, 4 when any is undecided, else 3."""
    found = {verdict.outcome for verdict in verdicts}
    return next(status for outcome, status in _STATUS.items() if outcome in found)
