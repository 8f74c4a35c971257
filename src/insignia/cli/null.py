"""``insignia null``: how often innocent models hit, measured."""

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import ConfigDict, Field

from insignia.cli.console import Written, percent, quiet_libraries, say, show_table
from insignia.cli.fields import takes
from insignia.cli.options import refuse_report
from insignia.errors import InputError
from insignia.keyring.planning import ALPHA
from insignia.modeling.placement import Placement
from insignia.records import Record
from insignia.suspects.base import RequestOptions, TextModel
from insignia.suspects.retry_policy import API_KEY_VARIABLE
from insignia.verification.innocents import RISK, MeasuredNull, ask_innocent, asking_of
from insignia.verification.matching import Match

if TYPE_CHECKING:
    from insignia.fingerprints.sets import FingerprintSet
    from insignia.verification import Verdict

__all__ = ["null"]


class _Innocents(Record):
    """Models that certainly do not carry the mark, at an API."""

    model_config = ConfigDict(title="Network")

    endpoint: str | None = None
    """Innocent models at this OpenAI-compatible API: its base address. The keys asked are spent."""
    api_key_variable: str = API_KEY_VARIABLE
    """Environment variable that holds the API key."""


class _Measuring(Record):
    """How the null is measured."""

    model_config = ConfigDict(title="Evidence")

    max_queries: Annotated[int | None, Field(ge=1)] = None
    """Keys to ask of each model. It must be given with --endpoint. None: all."""
    match: str = "prefix"
    """As you will match: exact, prefix or within:N words."""
    ignore_case: bool = False
    """As you will match: take upper and lower case for one."""
    alpha: Annotated[float, Field(gt=0, lt=1)] = ALPHA
    """Largest chance of accusing an innocent suspect, to say what it takes."""
    risk: Annotated[float, Field(gt=0, lt=1)] = RISK
    """Chance that the null is wrong. It is taken from alpha."""


@takes("null")
def null(
    prints: Annotated[Path, typer.Argument(help="Fingerprint file.")],
    innocents: _Innocents,
    measuring: _Measuring,
    request: RequestOptions,
    placement: Placement,
    written: Written,
    model: Annotated[
        list[str] | None, typer.Option(help="Innocent model: folder, hub id or 'starter'. Several: repeat it.")
    ] = None,
    name: Annotated[list[str] | None, typer.Option(help="With --endpoint: the model's name there. Several: repeat it.")] = None,
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
    from insignia.fingerprints.sets import load_fingerprints

    models, names, risk, alpha = model or [], name or [], measuring.risk, measuring.alpha
    if bool(models) == bool(names) or (innocents.endpoint is None) != (not names):
        raise InputError("name innocent models: either --model, or --endpoint and --name")
    if risk >= alpha:
        raise InputError(f"a risk of {risk:g} and an alpha of {alpha:g}; expected a risk above 0 and below alpha")
    if output is not None:
        refuse_overlap(output, prints)
    refuse_report(output, force=written.force)
    chosen = load_fingerprints(prints)
    match = Match.named(measuring.match, fold="case" if measuring.ignore_case else "alike")
    given = {field: value for field, value in request.model_dump(exclude_unset=True).items() if value not in (None, "")}
    rules = asking_of(chosen, match=match, manner=given)
    progress = written.progress()
    asked = functools.partial(ask_innocent, chosen, rules=rules, max_queries=measuring.max_queries, progress=progress)
    if innocents.endpoint is None:
        verdicts = [asked(suspect) for suspect in _local(models, placement)]
    else:
        verdicts = _ask_endpoint(names, innocents, prints, chosen, asked, measuring.max_queries)
    measured = MeasuredNull.of(verdicts, rules, risk=risk)
    if output is not None:
        measured.save(output)
    _report(measured, verdicts, alpha, output, written)


def _local(models: list[str], placement: Placement) -> Iterator[TextModel]:
    """One after another, so that only one model is in memory. A model at hand shows keys to nobody."""
    quiet_libraries()
    from insignia.modeling.local import LocalModel

    for source in models:
        yield LocalModel(source, **placement.where())


def _ask_endpoint(
    names: list[str],
    innocents: _Innocents,
    path: Path,
    prints: "FingerprintSet",
    asked: "functools.partial[Verdict]",
    max_queries: int | None,
) -> "list[Verdict]":
    """All names are asked the same keys: their host is one, and knows them after the first."""
    from insignia.keyring import ledger
    from insignia.suspects.endpoint import Endpoint

    spent = ledger.spent(path, prints)
    if max_queries is None:
        raise InputError(
            f"an endpoint's host knows the keys that it was asked, and {len(prints) - len(spent)} are unspent; "
            "say by --max-queries how many of them to spend"
        )
    verdicts = []
    for name in names:
        model = Endpoint(str(innocents.endpoint), model=name, api_key_variable=innocents.api_key_variable)
        told = functools.partial(ledger.record, path, prints, to=model.name)
        verdicts.append(asked(model, spare=spent, before_send=told))
    return verdicts


def _report(measured: MeasuredNull, verdicts: "list[Verdict]", alpha: float, output: Path | None, written: Written) -> None:
    from insignia.keyring.planning import outlook
    from insignia.verification.protocol import MAX_QUERIES

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
        say(f"Next: insignia verify --null {output or argument}")

    written.tell(told, show)
