"""Verdicts as documents: of ``verify``, and the parts that ``audit`` shows, too."""

from collections.abc import Sequence

from insignia.reporting.base import Document, Table
from insignia.terminal import counted
from insignia.verification import Verdict

__all__ = ["control_lines", "exit_status", "request_rows", "suspect_name", "verdict_rows", "verdicts_report"]

_STATUS = {"owned": 0, "inconclusive": 4, "not_shown": 3}  # of several suspects, the first of these that occurs

_PLACES = {"exact": "the whole reply", "prefix": "the beginning of the reply", "within": "at one of the first {} words"}
_JUDGED_BY = {
    "scores": "the scores of all candidates",
    "top": "its likeliest tokens",
    "choice": "a choice among the candidates",
    "text": "text",
}
_FOLDINGS = {
    "spaces": "but for white space",
    "alike": "but for white space and look-alikes",
    "case": "but for white space, look-alikes and case",
}


def verdicts_report(verdicts: Sequence[Verdict], *, spent: bool) -> Document:
    """The verdicts side by side; ``spent``: somebody else has seen the keys."""
    title = "Verdict" if len(verdicts) == 1 else "Verdicts"
    table = Table.of(title, ["", *(suspect_name(verdict) for verdict in verdicts)], verdict_rows(verdicts, spent=spent))
    lines = [
        f"{verdict.label}: {line}" if verdict.label else line
        for verdict in verdicts
        for line in (*control_lines(verdict), verdict.sentence)
    ]
    results = [verdict.model_dump(mode="json") for verdict in verdicts]
    return Document(title, (table, *lines), results[0] if len(results) == 1 else {"verdicts": results})


def verdict_rows(verdicts: Sequence[Verdict], *, spent: bool) -> list[list[str]]:
    """What a test rests on, a column for each verdict."""
    rows = [
        ["outcome", *(verdict.outcome.replace("_", " ") for verdict in verdicts)],
        [
            "response favoured / answered" if any(verdict.graded for verdict in verdicts) else "hits / answered",
            *(f"{verdict.hits} / {verdict.trials - verdict.unanswered}" for verdict in verdicts),
        ],
        ["unanswered", *(str(verdict.unanswered) for verdict in verdicts)],
        ["p-value", *(f"{verdict.p_value:.2g}" for verdict in verdicts)],
        ["an unrelated model hits, at most", *(f"{verdict.null.bound:.3g} ({verdict.null.kind})" for verdict in verdicts)],
        ["keys asked, and so spent" if spent else "keys asked", *(str(verdict.trials) for verdict in verdicts)],
    ]
    if any(verdict.grinding_bits is not None for verdict in verdicts):
        rows.append(["grinding bits", *("-" if v.grinding_bits is None else f"{v.grinding_bits:.1f}" for v in verdicts)])
    if any(verdict.near is not None for verdict in verdicts):
        rows.append(["response among likeliest first tokens", *("-" if v.near is None else str(v.near) for v in verdicts)])
    return [*rows, *request_rows(verdicts)]


def exit_status(*outcomes: str) -> int:
    """Of several suspects: 0 when the mark is in any, 4 when any is undecided, else 3."""
    return next(status for outcome, status in _STATUS.items() if outcome in outcomes)


def suspect_name(verdict: Verdict) -> str:
    """The suspect, and the set that it was asked if there are several."""
    return f"{verdict.suspect} ({verdict.label})" if verdict.label else verdict.suspect


def request_rows(verdicts: Sequence[Verdict]) -> list[list[str]]:
    """How each suspect was asked and its replies were matched, a column for each verdict."""
    return [
        ["asked as", *(_request(verdict) for verdict in verdicts)],
        ["judged by", *(_channels(verdict) for verdict in verdicts)],
        ["system prompt", *(verdict.manner.system or "none" for verdict in verdicts)],
        ["the response has to be", *(_match(verdict) for verdict in verdicts)],
    ]


def control_lines(verdict: Verdict) -> list[str]:
    """What each control did."""
    return [
        f"Control {number}, {control.name}: {control.hits} of {control.trials - control.unanswered} answered keys got the "
        f"response (p {control.p_value:.2g})."
        for number, control in enumerate(verdict.controls, 1)
    ]


def _request(verdict: Verdict) -> str:
    options = verdict.manner
    sampling = f"temperature {options.temperature:g}, seed {options.seed}" if options.temperature else "likeliest tokens"
    return f"{options.form}, {sampling}, at most {counted(options.max_tokens, 'token')}"


def _channels(verdict: Verdict) -> str:
    """What the suspect was asked to reveal; with the number of keys where it closed a channel."""
    counts = verdict.by_channel or {"text": 0}
    return ", ".join(_JUDGED_BY[name] + (f" ({count} keys)" if len(counts) > 1 else "") for name, count in counts.items())


def _match(verdict: Verdict) -> str:
    return f"{_PLACES[verdict.match.how].format(verdict.match.looks)}, {_FOLDINGS[verdict.match.fold]}"
