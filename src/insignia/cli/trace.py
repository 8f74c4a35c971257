"""``insignia trace``: whose copy a suspect comes from."""

from pathlib import Path
from typing import Annotated

import typer

from insignia.errors import InputError
from insignia.flags.asked_models import SuspectFlags
from insignia.flags.fields import takes
from insignia.licensing.leaks import TraceOptions
from insignia.modeling.placement import Placement
from insignia.records import Flag, Record
from insignia.reporting.output import Reported
from insignia.suspects.retry_policy import RetryPolicy

__all__ = ["trace"]


class _Kept(Record):
    """Where replies are kept."""

    transcript: Annotated[tuple[Path, ...], Flag(many=True)] = ()
    """Record of a suspect's replies, which a later run continues from; one for each suspect."""


@takes("trace")
def trace(
    prints: Annotated[Path, typer.Argument(help="Fingerprint file that copies were issued with.")],
    who: SuspectFlags,
    options: TraceOptions,
    records: _Kept,
    network: RetryPolicy,
    placement: Placement,
    output: Reported,
) -> None:
    """Ask a suspect the keys of all blocks, and name the licensees it comes from, or nobody. Status 0: named; 3: nobody.

    Examples:
        insignia trace prints.json --model leaked
        insignia trace prints.json --endpoint http://localhost:8000/v1 --name theirs --alpha 1e-3
    """
    from insignia.keyring.keyring import Keyring, opener_of
    from insignia.licensing.leaks import trace as find
    from insignia.reporting.licensing import trace_status, traces_report

    who.refuse_contradictions()
    if not who.given:
        raise InputError("there is no suspect; give --model, or --endpoint and --name")
    output.refuse_output()
    suspects = [opener_of(each) for each in who.open(network, placement)]
    kept = Keyring.open(prints).only()
    reports = find(kept, suspects, options, transcripts=records.transcript, progress=output.progress())
    output.finish(traces_report(reports), trace_status(reports))
