"""``insignia verify``: a few questions to a suspect, and a verdict."""

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from insignia.cli.console import (
    ConsoleProgress,
    ForceFlag,
    JsonFlag,
    QuietFlag,
    quiet_libraries,
    read_paragraphs,
)
from insignia.cli.controls import Controls, judged_with_controls
from insignia.cli.options import as_share, refuse_report
from insignia.cli.spending import Spending
from insignia.cli.verdicts import report
from insignia.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from insignia.fingerprints.sets import FingerprintSet
    from insignia.suspects.base import TextModel
    from insignia.suspects.endpoint import RetryPolicy
    from insignia.verification import Verdict
    from insignia.verification.transcript import Rules

__all__ = ["verify"]


def verify(
    prints: Annotated[Path, typer.Argument(help="Fingerprint file.")],
    model: Annotated[list[str] | None, typer.Option(help="Suspect: folder, hub id or 'starter'. Several: repeat it.")] = None,
    endpoint: Annotated[
        str | None, typer.Option(help="Suspect: base address of an OpenAI-compatible API, such as http://localhost:8000/v1.")
    ] = None,
    name: Annotated[list[str] | None, typer.Option(help="With --endpoint: the model's name there. Several: repeat it.")] = None,
    transcript: Annotated[
        list[Path] | None,
        typer.Option(help="Record of a suspect's replies, which a killed run goes on from. Without a suspect: judge it."),
    ] = None,
    challenge: Annotated[
        str | None, typer.Option(help="A judge's nonce, which chooses the keys together with the root of --commitment.")
    ] = None,
    commitment: Annotated[Path | None, typer.Option(help="With --challenge: what 'insignia commit' wrote.")] = None,
    alpha: Annotated[float, typer.Option(help="Largest chance of accusing an innocent suspect.")] = 1e-6,
    survival: Annotated[
        float, typer.Option(callback=as_share, help="Give up when fewer of the fingerprints than this share are left.")
    ] = 0.3,
    max_queries: Annotated[int, typer.Option(min=1, help="Keys to ask at most.")] = 128,
    num_fingerprints: Annotated[
        int | None, typer.Option(min=1, help="Ask only among the first so many, where 'embed' put in no more.")
    ] = None,
    suspects: Annotated[
        int | None,
        typer.Option(min=1, max=10**9, help="Suspects that share alpha, later ones included. Default: as many as are named."),
    ] = None,
    null: Annotated[
        str | None,
        typer.Option(help="How often an innocent model hits: 1/16, or the file of 'insignia null'. Default: by design."),
    ] = None,
    match: Annotated[
        str, typer.Option(help="Where the response stands in the reply: exact, prefix or within:N words.")
    ] = "prefix",
    ignore_case: Annotated[
        bool, typer.Option("--ignore-case", help="Take upper and lower case for one, where a host changes them.")
    ] = False,
    reuse_keys: Annotated[
        bool, typer.Option("--reuse-keys", help="Ask an endpoint keys that somebody has seen, too; see 'share'.")
    ] = False,
    cover: Annotated[
        float | None,
        typer.Option(callback=as_share, help="Share of cover questions, at most 0.9. Default: 0.5 of an endpoint's, else 0."),
    ] = None,
    cover_file: Annotated[Path | None, typer.Option(help="Own cover questions, paragraphs separated by blank lines.")] = None,
    control: Annotated[
        list[str] | None, typer.Option(help="Model that must not carry the mark, such as the suspect's ancestor: as --model.")
    ] = None,
    control_endpoint: Annotated[str | None, typer.Option(help="The same at an API: its base address.")] = None,
    control_name: Annotated[list[str] | None, typer.Option(help="With --control-endpoint: the model's name there.")] = None,
    control_api_key_variable: Annotated[
        str, typer.Option(help="Environment variable that holds the API key for --control-endpoint.")
    ] = "INSIGNIA_CONTROL_API_KEY",
    system: Annotated[str | None, typer.Option(help="System prompt to ask under; see 'commit --system'.")] = None,
    prompt_form: Annotated[str | None, typer.Option(help="raw (completions) or chat. Default: the set's own.")] = None,
    max_tokens: Annotated[int | None, typer.Option(min=1, help="Tokens of a reply.")] = None,
    temperature: Annotated[float, typer.Option(min=0, help="Of sampling; 0 is greedy.")] = 0.0,
    seed: Annotated[int | None, typer.Option(help="Of sampling.")] = None,
    log_probabilities: Annotated[
        int | None,
        typer.Option(min=1, max=20, help="Likeliest first tokens to ask an endpoint for. They tell how near a miss was."),
    ] = None,
    concurrency: Annotated[int, typer.Option(min=1, help="Requests at once.")] = 8,
    requests_per_second: Annotated[float | None, typer.Option(min=1e-3, help="Rate of requests.")] = None,
    attempts: Annotated[int, typer.Option(min=1, help="Requests for one question before it counts as unanswered.")] = 6,
    timeout: Annotated[float, typer.Option(min=1e-3, help="Seconds for a reply, from connecting to its last byte.")] = 120.0,
    budget: Annotated[int | None, typer.Option(min=1, help="Requests in all, for each suspect.")] = None,
    api_key_variable: Annotated[str, typer.Option(help="Environment variable that holds the API key.")] = "INSIGNIA_API_KEY",
    device: Annotated[str, typer.Option(help="For --model: auto, cpu, cuda, ...")] = "auto",
    dtype: Annotated[
        str, typer.Option(help="For --model: auto, float32 (or fp32), bfloat16 (bf16) or float16 (fp16).")
    ] = "auto",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File for the verdict, as with --json.")] = None,
    force: ForceFlag = False,
    json_output: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Ask a suspect a few keys, as evidence ('check' measures a model of yours). Status 0: proven; 3: not shown; 4: open."""
    from insignia.fingerprints.sets import load_fingerprints
    from insignia.suspects.endpoint import RetryPolicy
    from insignia.verification import judge, judged_together
    from insignia.verification.matching import Match

    models, names, files = model or [], name or [], transcript or []
    _refuse_contradictions(models, endpoint, names, files, log_probabilities)
    controls = Controls(tuple(control or ()), control_endpoint, tuple(control_name or ()))
    controls.refuse_contradictions(asks_suspects=bool(models or names))
    refuse_report(output, force=force)
    chosen = load_fingerprints(prints)
    if models or names:
        retry_policy = RetryPolicy(
            concurrency=concurrency,
            attempts=attempts,
            timeout_s=timeout,
            requests_per_second=requests_per_second,
            budget=budget,
        )
        rules = _rules(
            chosen,
            {
                "form": prompt_form,
                "system": system or None,
                "max_tokens": max_tokens,
                "temperature": temperature,
                "seed": seed,
                "log_probabilities": log_probabilities,
            },
            null=null,
            match=Match.named(match, fold="case" if ignore_case else "alike"),
            alpha=alpha,
            suspects=suspects or len(models or names),
            survival=survival,
            cover=cover if cover is not None else 0.5 if endpoint else 0.0,
        )
        spending = Spending(prints, chosen, reuse=reuse_keys or challenge is not None)
        decoy_texts = read_paragraphs(cover_file) if cover_file is not None else []
        options = {"decoy_texts": decoy_texts, "progress": ConsoleProgress(quiet=quiet)}
        verdicts = _ask_each(
            _suspects(models, endpoint, names, retry_policy, api_key_variable, device, dtype),
            chosen,
            rules,
            files,
            spending if names else None,
            frozenset(range(len(chosen.first(num_fingerprints)), len(chosen))),
            max_queries=max_queries,
            order=_challenged(challenge, commitment, chosen, len(models or names)),
            **options,
        )
        others = _suspects(
            control or [], control_endpoint, control_name or [], retry_policy, control_api_key_variable, device, dtype
        )
        verdicts = controls.ask(judged_together(verdicts), chosen, rules, files, others, spending, **options)
    else:
        verdicts = judged_with_controls(judged_together([judge(chosen, file) for file in files]), chosen, files)
    report(verdicts, output, shown=bool(names), json_output=json_output)


def _challenged(nonce: str | None, commitment: Path | None, prints: "FingerprintSet", suspects: int) -> tuple[int, ...] | None:
    """The order that a challenge fixes, if there is one."""
    from insignia.evidence.challenge import challenge_order
    from insignia.evidence.publication import SignedCommitment

    if nonce is None and commitment is None:
        return None
    if nonce is None or commitment is None or suspects > 1:
        raise InputError("--challenge and --commitment belong together, for one suspect: each needs a nonce of its own")
    published = SignedCommitment.load(commitment).commitment
    if published.size != len(prints):
        raise InputError(f"{commitment} is of {published.size} fingerprints and the set has {len(prints)}; use its own set")
    return challenge_order(published.root, nonce, published.size)


def _ask_each(
    suspects: "Iterable[TextModel]",
    prints: "FingerprintSet",
    rules: "Rules",
    files: list[Path],
    ledger: "Spending | None",
    absent: frozenset[int],
    **options: Any,
) -> "list[Verdict]":
    """Each suspect is asked keys that none before it has seen, and none that are absent from the mark."""
    from insignia.verification import verify as ask

    if not files:
        options["progress"].note(
            "The replies are not kept; --transcript FILE keeps them as evidence, and goes on after a stop."
        )
    verdicts: list[Verdict] = []
    for suspect, file in itertools.zip_longest(suspects, files):
        spent = {number for verdict in verdicts for number in verdict.keys_spent} | absent
        if ledger is not None:
            spent |= ledger.spent()
            options["before_send"] = ledger.showing_to(suspect.name)
        verdicts.append(ask(prints, suspect, rules=rules, exclude=spent, transcript=file, **options))
    if ledger is not None and (warning := ledger.warning()):
        options["progress"].note(warning)
    return verdicts


def _refuse_contradictions(
    models: list[str], endpoint: str | None, names: list[str], transcripts: list[Path], log_probabilities: int | None
) -> None:
    if (endpoint is None) != (not names):
        raise InputError("--endpoint and --name belong together: the address, and the model's name there")
    if models and names:
        raise InputError(
            "--model and --endpoint were both given; ask one at a time, then judge their --transcript files together"
        )
    if not (models or names or transcripts):
        raise InputError("there is no suspect; give --model, or --endpoint and --name, or the --transcript of an earlier run")
    if (models or names) and len(transcripts) not in (0, len(models or names)):
        raise InputError(f"{len(models or names)} suspects and {len(transcripts)} transcripts; give one --transcript for each")
    if log_probabilities is not None and endpoint is None:
        raise InputError("--log-probabilities is for --endpoint; of a model at hand, 'check' tells ranks and probabilities")


def _rules(prints: "FingerprintSet", manner: dict[str, Any], *, null: str | None, **options: Any) -> "Rules":
    """The rules that the flags describe; what is None in the manner is as the set has it."""
    from insignia.records import prompt_form
    from insignia.suspects.base import RequestOptions
    from insignia.verification import rules_for
    from insignia.verification.innocents import require_same_conditions, resolve_null

    if manner["form"] is not None:
        prompt_form(manner["form"])
    usual = rules_for(prints, null=resolve_null(null), **options)
    given = {name: value for name, value in manner.items() if value is not None}
    asked = RequestOptions(**usual.manner.model_dump() | given)
    rules = rules_for(prints, **options | {"null": usual.null, "manner": asked})
    require_same_conditions(null, rules)
    return rules


def _suspects(
    models: list[str],
    endpoint: str | None,
    names: list[str],
    retry_policy: "RetryPolicy",
    variable: str,
    device: str,
    dtype: str,
) -> "Iterator[TextModel]":
    """One after another, so that only one model is in memory. An endpoint needs no torch."""
    if endpoint is not None:
        from insignia.suspects.endpoint import Endpoint

        for name in names:
            yield Endpoint(endpoint, model=name, retry_policy=retry_policy, api_key_variable=variable)
    if models:
        quiet_libraries()
        from insignia.modeling.local import LocalModel

        for source in models:
            yield LocalModel(source, device=device, dtype=dtype)
