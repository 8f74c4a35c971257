"""``insignia null``: how often innocent models hit, measured."""

from pathlib import Path
from typing import Annotated

import typer

from insignia.errors import InputError
from insignia.flags.asked_models import SuspectFlags
from insignia.flags.fields import takes
from insignia.keyring.options import NullOptions
from insignia.modeling.placement import Placement
from insignia.reporting.output import Written
from insignia.suspects.retry_policy import RetryPolicy

__all__ = ["null"]


@takes("null")
def null(
    prints: Annotated[Path, typer.Argument(help="Fingerprint file.")],
    innocents: SuspectFlags,
    options: NullOptions,
    network: RetryPolicy,
    placement: Placement,
    written: Written,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File to write, for 'verify --null FILE'.")] = None,
) -> None:
    """Measure how often innocent models hit, for a set without a design null: your own pairs, or an imported file.

    Each model is asked the keys as 'verify' asks a suspect. Choose models that certainly do not carry the mark and are like
    the suspects: the base, siblings, other models of the same kind.

    The result holds under two conditions. The keys were chosen without a look at these models' replies. And each key hits or
    misses on its own: if many keys have the same response, or are alike, their hits come together, and the null is too small.

    Examples:
        insignia null own.json --model starter -o null.json
        insignia null own.json --endpoint http://localhost:8000/v1 --name base --max-queries 64 -o null.json
    """
    from insignia.files import refuse_overlap
    from insignia.keyring.keyring import Keyring
    from insignia.reporting.measurements import null_report

    if bool(innocents.model) == bool(innocents.name) or (innocents.endpoint is None) != (not innocents.name):
        raise InputError("name innocent models: either --model, or --endpoint and --name")
    if output is not None:
        refuse_overlap(output, prints)
        written.refuse(output, ".json")
    suspects = innocents.open(network, placement)
    measured, verdicts = Keyring.open(prints).measure_null(suspects, options, progress=written.progress())
    if output is not None:
        measured.save(output)
    written.finish(null_report(measured, verdicts, alpha=options.alpha, written=output))
