"""``insignia plan``: how many keys to embed and to ask, and what the keys of a set can prove."""

from pathlib import Path
from typing import Annotated

import typer

from insignia.flags.fields import takes
from insignia.keyring.prospects import PlanOptions
from insignia.reporting.output import Reported

__all__ = ["plan"]


@takes("plan")
def plan(
    options: PlanOptions,
    output: Reported,
    prints: Annotated[
        Path | None, typer.Argument(help="Fingerprint file to look at. Default: none; as a bare 'generate' makes one.")
    ] = None,
) -> None:
    """Say how many fingerprints to make and how many keys a proof takes; of a set, also what its unspent keys can prove.

    Examples:
        insignia plan --survival 0.5
        insignia plan prints.json --suspects 3
        insignia plan --licensees 1000 --colluders 2 --survival 0.98 --alpha 1e-3
        insignia plan prints.json --licensees 1000 --per-block 1
    """
    from insignia.generation import InverseNucleus
    from insignia.keyring.keyring import Keyring
    from insignia.keyring.prospects import planned
    from insignia.licensing.codes import plan_tracing
    from insignia.reporting.licensing import tracing_plan_report
    from insignia.reporting.plans import plan_report, prospects_report
    from insignia.statistics.nulls import DesignNull
    from insignia.verification.innocents import resolve_null

    output.refuse_output()
    if options.licensees is not None:
        known = () if prints is None else Keyring.open(prints).only().prints
        output.finish(tracing_plan_report(plan_tracing(options, known)))
        return
    if prints is not None:
        output.finish(prospects_report(prints, Keyring.open(prints).plan(options), options))
        return
    null = resolve_null(options.null) or DesignNull(candidates=InverseNucleus().nucleus_k)
    output.finish(plan_report(planned(null, options), null, options))
