"""``insignia null``: how often innocent models hit, measured."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from insignia.cli.console import Written, percent, say, show_table
from insignia.cli.fields import takes
from insignia.cli.options import refuse_report
from insignia.cli.suspects import SuspectFlags
from insignia.errors import InputError
from insignia.keyring.options import NullOptions
from insignia.modeling.placement import Placement
from insignia.records import Flag
from insignia.suspects.retry_policy import RetryPolicy

if TYPE_CHECKING:
    from insignia.verification import Verdict
    from insignia.verification.innocents import MeasuredNull

__all__ = ["null"]


class _Output(Written):
    """Where the null goes."""

    output: Annotated[Path | None, Flag("--output", "-o")] = None
    """File to write, for 'verify --null FILE'."""


@takes("null")
def null(
    prints: Annotated[Path, typer.Argument(help="Fingerprint file.")],
    innocents: SuspectFlags,
    options: NullOptions,
    network: RetryPolicy,
    placement: Placement,
    written: _Output,
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

    if bool(innocents.model) == bool(innocents.name) or (innocents.endpoint is None) != (not innocents.name):
        raise InputError("name innocent models: either --model, or --endpoint and --name")
    if written.output is not None:
        refuse_overlap(written.output, prints)
    refuse_report(written.output, force=written.force)
    suspects = innocents.open(network, placement)
    measured, verdicts = Keyring.open(prints).measure_null(suspects, options, progress=written.progress())
    if written.output is not None:
        measured.save(written.output)
    _report(measured, verdicts, options.alpha, written)


def _report(measured: "MeasuredNull", verdicts: "list[Verdict]", alpha: float, written: _Output) -> None:
    from insignia.statistics.betting import MAX_QUERIES
    from insignia.statistics.forecasts import outlook

    null, argument = measured.null, f"reference:{','.join(f'{m.hits}/{m.trials}' for m in measured.null.models)}"
    keys = outlook(null, MAX_QUERIES, alpha=alpha).healthy
    models = [
        {"model": v.suspect, "hits": v.hits, "trials": v.trials - v.unanswered, "unanswered": v.unanswered} for v in verdicts
    ]
    told = {"null": argument, "bound": null.bound, "risk": null.risk, "alpha": alpha, "healthy": keys, "models": models}
    rows = [[v.suspect, f"{v.hits} / {v.trials - v.unanswered}", str(v.unanswered)] for v in verdicts]
    if keys is None:
        takes_it = (
            f"That is too weak: {MAX_QUERIES} hits do not prove a mark at alpha {alpha:g}. Ask more keys, or look why they hit."
        )
    else:
        takes_it = (
            f"At alpha {alpha:g} the mark is proven by {keys} hits of {keys} keys. More keys that are asked here make it fewer."
        )

    def show() -> None:
        show_table("Innocent models", ["model", "hits / answered", "unanswered"], rows)
        say(f"A model like these hits at most {percent(null.bound)} of the keys; this is wrong with a chance of {null.risk:g}.")
        say(takes_it)
        say(f"Next: insignia verify PRINTS --model SUSPECT --null {written.output or argument}")

    written.tell(told, show)
