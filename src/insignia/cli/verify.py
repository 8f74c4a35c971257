"""``insignia verify``: a few questions to a suspect, and a verdict."""

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from insignia.cli.console import (
    ConsoleProgress,
    ForceFlag,
    JsonFlag,
    QuietFlag,
    quiet_libraries,
    read_paragraphs,
)
from insignia.cli.options import as_share, refuse_report
from insignia.cli.verdicts import report
from insignia.errors import InputError

if TYPE_CHECKING:
    from insignia.evidence.publication import SignedCommitment
    from insignia.keyring.keyring import Suspect
    from insignia.suspects.base import TextModel
    from insignia.suspects.endpoint import RetryPolicy

__all__ = ["verify"]


def verify(
    prints: Annotated[list[Path], typer.Argument(help="Fingerprint file. Several: all are asked, and share alpha.")],
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
    from insignia.keyring.keyring import Keyring
    from insignia.keyring.options import VerifyOptions
    from insignia.records import prompt_form as form_of
    from insignia.suspects.endpoint import RetryPolicy

    models, names, files = model or [], name or [], transcript or []
    _refuse_contradictions(models, endpoint, names, files, log_probabilities)
    _refuse_lone_controls(control or [], control_endpoint, control_name or [], asks_suspects=bool(models or names))
    refuse_report(output, force=force)
    ring = Keyring.open(*prints)
    if models or names:
        network = RetryPolicy(
            concurrency=concurrency,
            attempts=attempts,
            timeout_s=timeout,
            requests_per_second=requests_per_second,
            budget=budget,
        )
        options = VerifyOptions(
            match=match,
            ignore_case=ignore_case,
            system=system,
            prompt_form=None if prompt_form is None else form_of(prompt_form),
            max_tokens=max_tokens,
            temperature=temperature,
            seed=seed,
            alpha=alpha,
            survival=survival,
            max_queries=max_queries,
            num_fingerprints=num_fingerprints,
            suspects=suspects,
            null=null,
            reuse_keys=reuse_keys,
            decoys=cover,
            log_probabilities=log_probabilities,
        )
        verdicts = ring.verify_all(
            _suspects(models, endpoint, names, network, api_key_variable, device, dtype),
            options,
            transcripts=files,
            controls=_suspects(
                control or [], control_endpoint, control_name or [], network, control_api_key_variable, device, dtype
            ),
            challenge=_challenge(challenge, commitment),
            decoy_texts=read_paragraphs(cover_file) if cover_file is not None else [],
            progress=ConsoleProgress(quiet=quiet),
        )
    else:
        verdicts = ring.judge(files)
    report(verdicts, output, shown=bool(names), json_output=json_output)


def _challenge(nonce: str | None, commitment: Path | None) -> "tuple[str, SignedCommitment] | None":
    """A judge's nonce and the commitment that it goes with, if there are any."""
    from insignia.evidence.publication import SignedCommitment

    if nonce is None and commitment is None:
        return None
    if nonce is None or commitment is None:
        raise InputError("--challenge and --commitment belong together: the judge's nonce, and what 'insignia commit' wrote")
    return nonce, SignedCommitment.load(commitment)


def _refuse_lone_controls(models: list[str], endpoint: str | None, names: list[str], *, asks_suspects: bool) -> None:
    if (endpoint is None) != (not names):
        raise InputError("--control-endpoint and --control-name belong together: the address, and the model's name there")
    if (models or names) and not asks_suspects:
        raise InputError("a control is asked what a suspect was asked in the same run; name the suspect, too")


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
    if log_probabilities is not None and endpoint is None:
        raise InputError("--log-probabilities is for --endpoint; of a model at hand, 'check' tells ranks and probabilities")


def _suspects(
    models: list[str], endpoint: str | None, names: list[str], network: "RetryPolicy", variable: str, device: str, dtype: str
) -> "list[Suspect]":
    """Those at the endpoint first. A model on this machine is loaded when its turn comes; an endpoint needs no torch."""
    from insignia.suspects.endpoint import Endpoint

    remote = [Endpoint(endpoint, model=name, retry_policy=network, api_key_variable=variable) for name in names if endpoint]
    return [*remote, *(functools.partial(_local, source, device, dtype) for source in models)]


def _local(source: str, device: str, dtype: str) -> "TextModel":
    quiet_libraries()
    from insignia.modeling.local import LocalModel

    return LocalModel(source, device=device, dtype=dtype)
