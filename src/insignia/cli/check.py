"""``insignia check``: the success rate on a model you hold."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from insignia.flags.fields import takes
from insignia.modeling.compared_models import ComparedModels
from insignia.reporting.output import Reported
from insignia.verification.success import CheckOptions
from insignia.verification.success import check as ask

if TYPE_CHECKING:
    from insignia.verification import CheckReport

__all__ = ["check"]

_NOT_FOUND = 3


@takes("check")
def check(
    prints: Annotated[Path, typer.Argument(help="Fingerprint file: ours, OML's or Perinucleus'.")],
    model: Annotated[
        list[str], typer.Option("--model", "--model-path", help="Folder, hub id or 'starter'. Several: repeat it.")
    ],
    asked: CheckOptions,
    models: ComparedModels,
    output: Reported,
    details: Annotated[bool, typer.Option("--details", help="List rank and log-probability of each fingerprint.")] = False,
) -> None:
    """Ask models that you hold every fingerprint; exit status 0 when the mark was found in each, 3 when not.

    'check' is the owner's own measurement. To prove to others that a model or an API carries the mark, use 'verify'.

    Examples:
        insignia check prints.json --model marked --base starter
        insignia check prints.json --model marked --model stamped --details
    """
    output.refuse_output()
    from insignia.fingerprints.sets import load_fingerprints
    from insignia.modeling.loading import resolve
    from insignia.reporting.measurements import check_report

    chosen = load_fingerprints(prints).first(asked.num_fingerprints)
    for source in model:  # a misspelt one is told before the first is loaded
        resolve(source)
    reports: list[CheckReport] = []
    for source in model:  # one after another, so that only one, its base and what was published are in memory
        known = reports[0].base if reports else None
        base = models.open_base() if known is None else None
        report = ask(models.open(source), chosen, base=base, templates=asked.templates, **asked.lengths)
        reports.append(report.model_copy(update={"base": known}) if known else report)
    document = check_report(reports, model, models.base, min_fsr=asked.min_fsr, details=details)
    output.finish(document, 0 if document.data["found"] else _NOT_FOUND)
