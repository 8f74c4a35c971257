"""``insignia plan``: how many keys to embed and to ask, and what the keys of a set can prove."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from insignia.cli.console import JsonFlag, emit_json, percent, show_table
from insignia.cli.options import as_share

if TYPE_CHECKING:
    from insignia.keyring.prospects import Prospects
    from insignia.statistics.forecasts import Plan
    from insignia.statistics.nulls import AnyNull

__all__ = ["plan"]


def plan(
    prints: Annotated[
        Path | None, typer.Argument(help="Fingerprint file to look at. Default: none; as a bare 'generate' makes one.")
    ] = None,
    null: Annotated[
        str | None,
        typer.Option(help="How often an innocent model hits: 1/16, or the file of 'insignia null'. Default: by design."),
    ] = None,
    alpha: Annotated[float, typer.Option(help="Largest chance of accusing an innocent suspect.")] = 1e-6,
    survival: Annotated[
        float, typer.Option(callback=as_share, help="Share of the fingerprints that a thief's work leaves.")
    ] = 0.3,
    power: Annotated[float, typer.Option(callback=as_share, help="Chance of proof that the keys must give.")] = 0.95,
    suspects: Annotated[int, typer.Option(help="Suspects in all, each of which is asked keys of its own.")] = 1,
    lost: Annotated[
        str | None,
        typer.Option(
            help="Reply where a fingerprint is lost: silent (none of its candidates) or random (any of them). "
            "Default: silent, or random where a candidate may be what any model says."
        ),
    ] = None,
    json_output: JsonFlag = False,
) -> None:
    """Say how many fingerprints to make and how many keys a proof takes; of a set, also what its unspent keys can prove."""
    from insignia.keyring.keyring import Keyring
    from insignia.keyring.prospects import PlanOptions, planned
    from insignia.statistics.forecasts import parse_lost
    from insignia.verification.innocents import resolve_null

    options = PlanOptions(
        null=null, alpha=alpha, survival=survival, power=power, suspects=suspects, lost=parse_lost(lost) if lost else None
    )
    if prints is None:
        claim = resolve_null(null) or _bare()
        bare = planned(claim, options, lost=options.lost or "silent")
        if json_output:
            emit_json(bare.model_dump(mode="json"))
        else:
            _show_plan(bare, claim, alpha, suspects)
        return
    found = Keyring.open(prints).plan(options)
    if json_output:
        _emit(found)
        return
    _show_set(prints, found, power)
    if found.plan is None or found.null is None:
        typer.echo((found.obstacle or "").replace("null PRINTS", f"null {prints}"))
    else:
        _show_plan(found.plan, found.null, alpha, suspects)


def _bare() -> "AnyNull":
    """The null of what a bare ``generate`` makes."""
    from insignia.generation import InverseNucleus
    from insignia.statistics.nulls import DesignNull

    return DesignNull(candidates=InverseNucleus().nucleus_k)


def _emit(found: "Prospects") -> None:
    from insignia.statistics.forecasts import Plan

    null = None if found.null is None else found.null.model_dump(mode="json")
    about = {"keys": found.keys, "spent": found.spent, "unspent": found.unspent, "null": null}
    planned = dict.fromkeys(Plan.model_fields) if found.plan is None else found.plan.model_dump(mode="json")
    emit_json(planned | {"set": about, "outlook": None if found.outlook is None else found.outlook.model_dump(mode="json")})


def _show_set(prints: Path, found: "Prospects", power: float) -> None:
    seen = found.outlook
    rows = [
        ["keys in all", str(found.keys)],
        ["keys spent", str(found.spent)],
        ["keys unspent", str(found.unspent)],
        [
            "an innocent model hits, at most",
            "not known" if seen is None else f"{seen.bound:.3g} ({found.null and found.null.name})",
        ],
    ]
    if seen is not None:
        least = "not even a whole mark" if seen.least_survival is None else percent(seen.least_survival)
        healthy = "" if seen.healthy is None else f" ({seen.healthy} keys each)"
        rows.append([f"smallest survival that is proven with a chance of {percent(power)}", least])
        rows.append(["tests of a healthy mark that are left", f"{seen.tests}{healthy}"])
    show_table(str(prints), ["", ""], rows)
    if seen is not None:
        chances = [[percent(c.survival), percent(c.proof), "-" if c.median is None else str(c.median)] for c in seen.chances]
        header = ["survival", "chance of proof", "median keys to proof"]
        show_table(f"A test of one suspect, who is asked {seen.keys} of these keys at most", header, chances)


def _show_plan(made: "Plan", null: "AnyNull", alpha: float, suspects: int) -> None:
    rows = [
        ["an innocent model hits, at most", f"{made.bound:.3g}"],
        ["fingerprints to make, at least", str(made.embed)],
        ["keys to ask a suspect, at most", str(made.test.max_queries)],
        ["keys after which half of such marks are proven", str(made.median)],
        ["chance of proof", percent(made.power)],
    ]
    if null.name == "design":
        said = "none of its candidates" if made.lost == "silent" else "any of its candidates"
        rows.append(["reply where a fingerprint is lost", said])
    show_table(f"To prove a mark of which {percent(made.survival)} survives, at alpha {alpha:g}", ["", ""], rows)
    if flags := _flags(made, suspects):
        typer.echo(f"Ask with these options: insignia verify {' '.join(flags)}")


def _flags(made: "Plan", suspects: int) -> list[str]:
    """What has to be said to a ``verify`` for the test that was planned, but for alpha and the null."""
    from insignia.statistics.betting import MAX_QUERIES
    from insignia.statistics.forecasts import GIVES_UP

    flags = [] if suspects == 1 else [f"--suspects {suspects}"]
    flags += [] if made.survival >= GIVES_UP else [f"--survival {made.survival:g}"]
    return flags + ([] if made.test.max_queries <= MAX_QUERIES else [f"--max-queries {made.test.max_queries}"])
