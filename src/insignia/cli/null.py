"""``insignia null``: how often innocent models hit, measured."""

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from insignia.cli.console import ConsoleProgress, JsonFlag, QuietFlag, emit_json, percent, quiet_libraries, show_table
from insignia.cli.options import refuse_report
from insignia.errors import InputError

if TYPE_CHECKING:
    from insignia.keyring.keyring import Suspect
    from insignia.suspects.base import TextModel
    from insignia.verification import Verdict
    from insignia.verification.innocents import MeasuredNull

__all__ = ["null"]


def null(
    prints: Annotated[Path, typer.Argument(help="Fingerprint file.")],
    model: Annotated[
        list[str] | None, typer.Option(help="Innocent model: folder, hub id or 'starter'. Several: repeat it.")
    ] = None,
    endpoint: Annotated[
        str | None, typer.Option(help="Innocent model: base address of an OpenAI-compatible API. The keys asked are spent.")
    ] = None,
    name: Annotated[list[str] | None, typer.Option(help="With --endpoint: the model's name there. Several: repeat it.")] = None,
    max_queries: Annotated[
        int | None, typer.Option(min=1, help="Keys to ask of each. Default: all; must be given with --endpoint.")
    ] = None,
    match: Annotated[str, typer.Option(help="As you will match: exact, prefix or within:N words.")] = "prefix",
    ignore_case: Annotated[
        bool, typer.Option("--ignore-case", help="As you will match: take upper and lower case for one.")
    ] = False,
    system: Annotated[str | None, typer.Option(help="System prompt that you will ask under.")] = None,
    prompt_form: Annotated[str | None, typer.Option(help="raw (completions) or chat. Default: the set's own.")] = None,
    max_tokens: Annotated[int | None, typer.Option(min=1, help="Tokens of a reply.")] = None,
    temperature: Annotated[float, typer.Option(min=0, help="Temperature that you will ask with; 0 is greedy.")] = 0.0,
    seed: Annotated[int | None, typer.Option(help="Seed of sampled replies.")] = None,
    alpha: Annotated[float, typer.Option(help="Largest chance of accusing an innocent suspect, to say what it takes.")] = 1e-6,
    risk: Annotated[float, typer.Option(help="Chance that the null is wrong; it is taken from alpha.")] = 1e-7,
    api_key_variable: Annotated[str, typer.Option(help="Environment variable that holds the API key.")] = "INSIGNIA_API_KEY",
    device: Annotated[str, typer.Option(help="For --model: auto, cpu, cuda, ...")] = "auto",
    dtype: Annotated[
        str, typer.Option(help="For --model: auto, float32 (or fp32), bfloat16 (bf16) or float16 (fp16).")
    ] = "auto",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File to write, for 'verify --null FILE'.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    json_output: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Measure how often innocent models hit, for a set without a design null: your own pairs, or an imported file.

    Each model is asked the keys as 'verify' asks a suspect. Choose models that certainly do not carry the mark and are like
    the suspects: the base, siblings, other models of the same kind.

    The result holds under two conditions. The keys were chosen without a look at these models' replies. And each key hits or
    misses on its own: if many keys have the same response, or are alike, their hits come together, and the null is too small.
    """
    from insignia.files import refuse_overlap
    from insignia.keyring.keyring import Keyring
    from insignia.keyring.options import NullOptions
    from insignia.records import prompt_form as form_of
    from insignia.suspects.endpoint import Endpoint

    models, names = model or [], name or []
    if bool(models) == bool(names) or (endpoint is None) != (not names):
        raise InputError("name innocent models: either --model, or --endpoint and --name")
    if output is not None:
        refuse_overlap(output, prints)
    refuse_report(output, force=force)
    options = NullOptions(
        match=match,
        ignore_case=ignore_case,
        system=system,
        prompt_form=None if prompt_form is None else form_of(prompt_form),
        max_tokens=max_tokens,
        temperature=temperature,
        seed=seed,
        max_queries=max_queries,
        alpha=alpha,
        risk=risk,
    )
    suspects: list[Suspect] = [Endpoint(endpoint, model=each, api_key_variable=api_key_variable) for each in names if endpoint]
    suspects += [functools.partial(_local, source, device, dtype) for source in models]
    measured, verdicts = Keyring.open(prints).measure_null(suspects, options, progress=ConsoleProgress(quiet=quiet))
    if output is not None:
        measured.save(output)
    _report(measured, verdicts, alpha, output, json_output=json_output)


def _local(source: str, device: str, dtype: str) -> "TextModel":
    quiet_libraries()
    from insignia.modeling.local import LocalModel

    return LocalModel(source, device=device, dtype=dtype)


def _report(
    measured: "MeasuredNull", verdicts: "list[Verdict]", alpha: float, output: Path | None, *, json_output: bool
) -> None:
    from insignia.statistics.betting import MAX_QUERIES
    from insignia.statistics.forecasts import outlook

    null, argument = measured.null, f"reference:{','.join(f'{m.hits}/{m.trials}' for m in measured.null.models)}"
    keys = outlook(null, MAX_QUERIES, alpha=alpha).healthy
    if json_output:
        models = [
            {"model": v.suspect, "hits": v.hits, "trials": v.trials - v.unanswered, "unanswered": v.unanswered}
            for v in verdicts
        ]
        emit_json({"null": argument, "bound": null.bound, "risk": null.risk, "alpha": alpha, "healthy": keys, "models": models})
        return
    rows = ([v.suspect, f"{v.hits} / {v.trials - v.unanswered}", str(v.unanswered)] for v in verdicts)
    show_table("Innocent models", ["model", "hits / answered", "unanswered"], rows)
    typer.echo(
        f"A model like these hits at most {percent(null.bound)} of the keys; the chance that this is wrong is {null.risk:g}."
    )
    if keys is None:
        typer.echo(
            f"That is too weak: {MAX_QUERIES} hits do not prove a mark at alpha {alpha:g}. Ask more keys, or look why they hit."
        )
    else:
        typer.echo(
            f"At alpha {alpha:g} the mark is proven by {keys} hits of {keys} keys. More keys that are asked here make it fewer."
        )
    typer.echo(f"Next: insignia verify --null {output or argument}")
