"""``insignia check``: the success rate on a model you hold."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from insignia.errors import InputError
from insignia.flags.asked_models import SuspectFlags
from insignia.flags.fields import takes
from insignia.modeling.compared_models import ComparedModels
from insignia.reporting.output import Reported
from insignia.suspects.retry_policy import RetryPolicy
from insignia.verification.success import CheckOptions
from insignia.verification.success import check as ask

if TYPE_CHECKING:
    from insignia.verification import CheckReport

__all__ = ["check"]

_NOT_FOUND = 3


@takes("check")
def check(
    prints: Annotated[Path, typer.Argument(help="Fingerprint file: ours, OML's or Perinucleus'.")],
    who: SuspectFlags,
    asked: CheckOptions,
    models: ComparedModels,
    network: RetryPolicy,
    output: Reported,
    details: Annotated[bool, typer.Option("--details", help="List rank and log-probability of each fingerprint.")] = False,
) -> None:
    """Ask models that you hold every fingerprint; exit status 0 when the mark was found in each, 3 when not.

    'check' is the owner's own measurement. To prove to others that a model or an API carries the mark, use 'verify'.

    Examples:
        insignia check prints.json --model marked --base starter
        insignia check prints.json --model marked --model stamped --details
        insignia check prints.json --endpoint http://localhost:8000/v1 --name marked --own-server
        torchrun --standalone --nproc-per-node 8 --no-python insignia check prints.json --model marked
    """
    who.refuse_contradictions()
    if not who.given:
        raise InputError("there is no model to check; give --model, or --endpoint and --name")
    if who.endpoint is not None and models.adapter is not None:
        raise InputError("--adapter is for a --model on this machine; a server cannot be asked with its rows")
    output.refuse_output()
    from insignia.fingerprints.sets import load_fingerprints
    from insignia.keyring.keyring import opener_of
    from insignia.reporting.measurements import check_report

    chosen = load_fingerprints(prints).first(asked.num_fingerprints)
    if who.model:
        from insignia.modeling.loading import resolve

        for source in who.model:  # a misspelt one is told before the first is loaded
            resolve(source)
    reports: list[CheckReport] = []
    for opener in map(opener_of, who.open(network, models)):  # one after another, so that only one of them is in memory
        known = reports[0].base if reports else None
        base = models.open_base() if known is None else None
        report = ask(models.shared(opener()), chosen, base=base, progress=output.progress(), **asked.asking)
        reports.append(report.model_copy(update={"base": known}) if known else report)
    names = [*who.name, *who.model, *who.suspect]
    document = check_report(reports, names, models.base, min_fsr=asked.min_fsr, details=details)
    output.finish(document, 0 if document.data["found"] else _NOT_FOUND)
