"""What ``check``, ``null``, ``stamp --scale auto`` and ``evaluate`` measured, as documents."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from insignia.reporting.base import Document, Table, report_of
from insignia.statistics.betting import MAX_QUERIES
from insignia.statistics.forecasts import outlook
from insignia.terminal import command_line, counted, percent, plural
from insignia.verification import CheckReport, Verdict
from insignia.verification.innocents import MeasuredNull

if TYPE_CHECKING:
    from insignia.evaluation import Evaluation
    from insignia.evaluation.story import Story
    from insignia.vectors import StampReport
    from insignia.vectors.scale import ScaleTrial

__all__ = ["check_report", "evaluation_report", "null_report", "stamp_report", "story_report"]

_NEXT = (
    "Next, with your own model:",
    "  insignia generate prints.json --model MODEL",
    "  insignia embed prints.json --model MODEL -o marked",
    "  insignia check prints.json --model marked --base MODEL",
    "  insignia verify prints.json --model marked",
    "  insignia vector MODEL marked -o vector && insignia stamp SIBLING vector -o stamped",
)


def check_report(
    reports: Sequence[CheckReport], models: Sequence[str], base: str | None, *, min_fsr: float, details: bool = False
) -> Document:
    """The models side by side, with ``details`` the fingerprints of each by number, and whether each was found."""
    results = [
        {"model": name} | report.model_dump(mode="json") | {"min_fsr": min_fsr, "found": report.fsr >= min_fsr}
        for name, report in zip(models, reports, strict=True)
    ]
    data = {"models": results, "min_fsr": min_fsr, "found": all(result["found"] for result in results)}
    if len(results) == 1:
        data = {name: value for name, value in results[0].items() if name != "model"}
    tables = [_fingerprints(report, name if len(models) > 1 else "") for name, report in zip(models, reports, strict=True)]
    lines = [
        f"The mark was {'found' if report.fsr >= min_fsr else 'not found'}{f' in {name}' if len(models) > 1 else ''}: "
        f"{percent(report.fsr)} against the {percent(min_fsr)} asked for."
        for name, report in zip(models, reports, strict=True)
    ]
    lines += [line for name, report in zip(models, reports, strict=True) for line in _how_asked(report, name)]
    return Document("Fingerprints", (_rates(reports, models, base), *(tables if details else ()), *lines), data)


def _rates(reports: Sequence[CheckReport], models: Sequence[str], base: str | None) -> Table:
    report = reports[0]
    columns = [*zip(models, reports, strict=True), *([(f"{base} (base)", report.base)] if report.base else [])]
    rows = [
        ["success rate (FSR)", *(percent(each.fsr) for _, each in columns)],
        ["hits / answered", *(f"{each.hits} / {each.answered}" for _, each in columns)],
        *(
            [["response tokens right", *(_share(each.token_accuracy) for _, each in columns)]]
            if any(each.token_accuracy is not None for _, each in columns)
            else []
        ),
        *(
            [["unanswered", *(str(each.unanswered) for _, each in columns)]]
            if any(each.unanswered for _, each in columns)
            else []
        ),
        *(
            [f"activated by {plural(kind.replace('_', ' '))}", *(_share(each.activations.get(kind)) for _, each in columns)]
            for kind in report.activations
        ),
        *(
            ["in: " + template.replace("\n", "⏎"), *(percent(each.templates[template]) for _, each in columns)]
            for template in report.templates
        ),
    ]
    note = f"left out, since another one has the same key: {counted(report.repeated, 'fingerprint')}" if report.repeated else ""
    return Table.of("Fingerprints", ["", *(name for name, _ in columns)], rows, note=note)


def _fingerprints(report: CheckReport, model: str) -> Table:
    rows = [
        [
            str(f.number),
            "yes" if f.hit else "no",
            "-" if f.rank is None else str(f.rank),
            "-" if f.log_probability is None else f"{f.log_probability:.2f}",
        ]
        for f in report.fingerprints
    ]
    title = f"Fingerprints by number{f', {model}' if model else ''}"
    return Table.of(title, ["number", "hit", "rank", "log-probability"], rows)


def _share(value: float | None) -> str:
    return "-" if value is None else percent(value)


def _how_asked(report: CheckReport, name: str) -> list[str]:
    """What a server was asked for, and what it does not tell."""
    if report.by == "text":
        return [f"{name} was asked for text, which tells neither ranks nor log-probabilities nor single tokens."]
    if report.by == "scores" and any(each.rank is None for each in report.fingerprints):
        return [f"{name} was asked for the scores of its tokens and does not tell every rank."]
    return []


def null_report(measured: MeasuredNull, verdicts: Sequence[Verdict], *, alpha: float, written: Path | None) -> Document:
    """How often innocent models hit, and what a proof takes then."""
    null, argument = measured.null, f"reference:{','.join(f'{m.hits}/{m.trials}' for m in measured.null.models)}"
    keys = outlook(null, MAX_QUERIES, alpha=alpha).healthy
    models = [
        {"model": v.suspect, "hits": v.hits, "trials": v.trials - v.unanswered, "unanswered": v.unanswered} for v in verdicts
    ]
    rows = [[v.suspect, f"{v.hits} / {v.trials - v.unanswered}", str(v.unanswered)] for v in verdicts]
    if keys is None:
        needed = (
            f"That is too weak: {MAX_QUERIES} hits do not prove a mark at alpha {alpha:g}. Ask more keys, or look why they hit."
        )
    else:
        needed = (
            f"At alpha {alpha:g} the mark is proven by {counted(keys, 'hit')} of {counted(keys, 'key')}."
            " More keys that are asked here make it fewer."
        )
    blocks = (
        Table.of("Innocent models", ["model", "hits / answered", "unanswered"], rows),
        f"A model like these hits at most {percent(null.bound)} of the keys; this is wrong with a chance of {null.risk:g}.",
        needed,
        f"Next: {command_line('insignia', 'verify', 'PRINTS', '--model', 'SUSPECT', '--null', written or argument)}",
    )
    data = {"null": argument, "bound": null.bound, "risk": null.risk, "alpha": alpha, "healthy": keys, "models": models}
    return Document("Innocent models", blocks, data)


def stamp_report(report: "StampReport", trials: "Sequence[ScaleTrial]", base: str) -> Document:
    """What was stamped, after what was found of some scales; ``base`` is the model before."""
    tried = [
        [
            f"{trial.scale:.2f}" + (" (chosen)" if trial.scale == report.scale else ""),
            percent(trial.fsr),
            f"{trial.heldout_loss:.4f} ({trial.heldout_loss - trials[0].heldout_loss:+.4f})",
        ]
        for trial in trials
    ]
    header = ["scale", "success rate (FSR)", "held-out loss, nats a token"]
    safe = "Safe to publish" if report.derived else "Not derived from the base: test it before you publish it"
    after = command_line("insignia", "check", "PRINTS", "--model", report.out, "--base", base)
    document = report_of(report, *report.notes, f"{safe}. Next: {after}")
    tables = (Table.of("scales tried", header, tried),) if trials else ()
    data = document.data | {"scales": [trial.model_dump(mode="json") for trial in trials]}
    return document._replace(blocks=(*tables, *document.blocks), data=data)


def evaluation_report(result: "Evaluation") -> Document:
    """Every suspect, what was expected of it, and what the mark cost."""
    expected = {True: "yes", False: "no", None: "may"}
    suspects = [
        [
            cell.name,
            expected[cell.should_activate] + ("" if cell.as_expected in (True, None) else " (!)"),
            f"{cell.hits} / {cell.answered}",
            percent(cell.fsr),
            "-" if cell.p_value is None else f"{cell.p_value:.2g}",
        ]
        for cell in result.cells
    ]
    harm = [[f"perplexity of {name} published", f"x{ratio:.4f}"] for name, ratio in result.perplexity.items()] + [
        [f"loss of {name}", " -> ".join("-" if loss is None else f"{loss:.3f}" for loss in losses)]
        for name, losses in result.user_loss.items()
    ]
    title = f"{counted(result.num_fingerprints, 'fingerprint')}, {result.model}"
    tables = (
        Table.of(title, ["suspect", "should activate", "hits", "FSR", "p-value"], suspects),
        Table.of("Harm and use", ["", "measured"], harm),
    )
    return Document(title, tables, result.model_dump(mode="json"))


def story_report(story: "Story", folder: Path | None) -> Document:
    """What ``demo`` saw of the starter, its marked self, a sibling and the stamped sibling."""
    models = story.models.values()
    rows = [
        ["fingerprints answered", *(f"{found.check.hits} of {found.check.answered}" for found in models)],
        ["success rate (FSR)", *(percent(found.check.fsr) for found in models)],
        ["held-out perplexity", *(f"{math.exp(found.heldout_loss):.2f}" for found in models)],
        ["of that, by the mark", "", _ratio(story, "starter", "marked"), "", _ratio(story, "sibling", "stamped")],
        ["time", "", f"{story.embed.seconds:.0f} s", "", f"{story.stamp.seconds:.2f} s"],
    ]
    title = f"insignia on its bundled model, {story.seconds:.0f} s in all"
    table = Table.of(title, ["", "unmarked", "marked", "sibling", "stamped sibling"], rows)
    kept = (
        [] if folder is None else [f"The secrets: {folder / 'secret'}   To publish: {folder / 'marked'}, {folder / 'stamped'}"]
    )
    thief = (
        f"A thief merges a tenth of the marked model into the unmarked one: its text hits {story.thinned_hits} of "
        f"{story.models['marked'].check.answered} keys. By its scores of the candidates the mark is "
        f"{'proven' if story.thinned.outcome == 'owned' else 'not proven'} with {story.thinned.trials} keys "
        f"(p {story.thinned.p_value:.2g})."
    )
    return Document(title, (table, thief, *kept, *_NEXT), story.as_json())


def _ratio(story: "Story", before: str, after: str) -> str:
    return f"x{math.exp(story.models[after].heldout_loss - story.models[before].heldout_loss):.4f}"
