"""``insignia check``: the success rate on a model you hold."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from insignia.cli.console import Output, emit_json, percent, quiet_libraries, say, show_table
from insignia.cli.fields import takes
from insignia.errors import InputError
from insignia.modeling.placement import Placement
from insignia.verification.success import CheckOptions
from insignia.verification.success import check as ask

if TYPE_CHECKING:
    from collections.abc import Sequence

    from insignia.modeling.local import LocalModel
    from insignia.verification import CheckReport

__all__ = ["check", "show_check"]

_NOT_FOUND = 3


class _Models(Placement):
    """The models beside the suspects."""

    base: str | None = None
    """Unmarked model to ask as well: folder, hub id or 'starter'."""
    adapter: Path | None = None
    """Private part of method adapter. It asks the --published model with the rows of the one to check."""
    published: str | None = None
    """With --adapter: the marked model as it was published."""


@takes("check")
def check(
    prints: Annotated[Path, typer.Argument(help="Fingerprint file: ours, OML's or Perinucleus'.")],
    model: Annotated[
        list[str], typer.Option("--model", "--model-path", help="Folder, hub id or 'starter'. Several: repeat it.")
    ],
    asked: CheckOptions,
    models: _Models,
    output: Output,
    details: Annotated[bool, typer.Option("--details", help="List rank and log-probability of each fingerprint.")] = False,
) -> None:
    """Ask models that you hold every fingerprint; exit status 0 when the mark was found in each, 3 when not.

    'check' is the owner's own measurement. To prove to others that a model or an API carries the mark, use 'verify'.

    Examples:
        insignia check prints.json --model marked --base starter
        insignia check prints.json --model marked --model stamped --details
    """
    from insignia.fingerprints.sets import load_fingerprints

    if (models.adapter is None) != (models.published is None):
        raise InputError("--adapter and --published belong together: the private part, and the model that it was made for")
    chosen = load_fingerprints(prints).first(asked.num_fingerprints)
    quiet_libraries()
    from insignia.modeling.loading import resolve
    from insignia.modeling.local import LocalModel

    for source in model:  # a misspelt one is told before the first is loaded
        resolve(source)
    reports: list[CheckReport] = []
    for source in model:  # one after another, so that only one, its base and what was published are in memory
        known = reports[0].base if reports else None
        suspect = _loaded(source, models)
        unmarked = LocalModel(models.base, **models.where()) if models.base and known is None else None
        report = ask(suspect, chosen, base=unmarked, templates=asked.templates, **asked.lengths)
        reports.append(report.model_copy(update={"base": known}) if known else report)
        del suspect, unmarked
    found = [each.fsr >= asked.min_fsr for each in reports]
    if output.as_json:
        asked_for = {"min_fsr": asked.min_fsr}
        results = [each.model_dump(mode="json") | asked_for | {"found": hit} for each, hit in zip(reports, found, strict=True)]
        models_asked = [{"model": name} | result for name, result in zip(model, results, strict=True)]
        emit_json(results[0] if len(results) == 1 else {"models": models_asked, **asked_for, "found": all(found)})
    else:
        show_check(reports, model, models.base, details=details)
        for source, each, hit in zip(model, reports, found, strict=True):
            place = f" in {source}" if len(model) > 1 else ""
            rates = f"{percent(each.fsr)} against the {percent(asked.min_fsr)} asked for"
            say(f"The mark was {'found' if hit else 'not found'}{place}: {rates}.")
    if not all(found):
        raise typer.Exit(_NOT_FOUND)


def _loaded(source: str, models: _Models) -> "LocalModel":
    from insignia.modeling.local import LocalModel
    from insignia.modeling.owner_adapter import EmbeddingAdapter

    suspect = LocalModel(source, **models.where())
    if models.adapter is None or models.published is None:
        return suspect
    return EmbeddingAdapter.load(models.adapter).attach(LocalModel(models.published, **models.where()), suspect)


def show_check(reports: "Sequence[CheckReport]", models: "Sequence[str]", base: str | None, *, details: bool = False) -> None:
    """The reports as tables: the models side by side, then the fingerprints of each by number if asked."""
    report = reports[0]
    columns = [*zip(models, reports, strict=True), *([(f"{base} (base)", report.base)] if report.base else [])]
    rows = [
        ["success rate (FSR)", *(percent(each.fsr) for _, each in columns)],
        ["hits / answered", *(f"{each.hits} / {each.answered}" for _, each in columns)],
        ["response tokens right", *(percent(each.token_accuracy) for _, each in columns)],
        *(
            [f"activated by {kind.replace('_', ' ')}s", *(percent(each.activations[kind]) for _, each in columns)]
            for kind in report.activations
        ),
        *(
            ["in: " + template.replace("\n", "⏎"), *(percent(each.templates[template]) for _, each in columns)]
            for template in report.templates
        ),
    ]
    note = f"{report.repeated} fingerprints repeat the key of another and were left out" if report.repeated else None
    show_table("Fingerprints", ["", *(name for name, _ in columns)], rows, caption=note)
    for name, each in zip(models, reports, strict=True) if details else ():
        show_table(
            f"Fingerprints by number{f', {name}' if len(models) > 1 else ''}",
            ["number", "hit", "rank", "log-probability"],
            ([str(f.number), "yes" if f.hit else "no", str(f.rank), f"{f.log_probability:.2f}"] for f in each.fingerprints),
        )
