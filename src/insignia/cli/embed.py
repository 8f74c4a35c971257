"""``insignia embed``: put fingerprints into a model."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from insignia.cli.console import (
    ConsoleProgress,
    JsonFlag,
    QuietFlag,
    emit_json,
    percent,
    quiet_libraries,
    read_paragraphs,
    say,
    show_table,
)
from insignia.cli.options import as_share
from insignia.errors import InputError

if TYPE_CHECKING:
    from insignia.embedding import EmbedReport

__all__ = ["embed", "perplexity_row"]


def embed(
    prints: Annotated[Path, typer.Argument(help="Fingerprint file: ours, OML's or Perinucleus'.")],
    out: Annotated[Path, typer.Option("--output", "-o", help="Folder of the marked model; safe to publish.")],
    model: Annotated[str | None, typer.Option("--model", "--model-path", help="Folder, hub id or 'starter'.")] = None,
    model_family: Annotated[
        str | None, typer.Option(help="Instead of --model: Eleuther, llama, mistral, microsoft, gemma.")
    ] = None,
    model_size: Annotated[str | None, typer.Option(help="With --model-family: 7B, say.")] = None,
    recipe: Annotated[
        str | None, typer.Option(help="Named settings or a YAML file; flags win over it. Default: harmless.")
    ] = None,
    method: Annotated[
        str | None, typer.Option(help="full, sft, embedding, lora or adapter at its own settings, instead of a recipe.")
    ] = None,
    rank: Annotated[int | None, typer.Option(help="Of the methods lora and adapter.")] = None,
    base_precision: Annotated[
        str | None, typer.Option(help="Of method lora's frozen weights: float32, checkpoint or 4bit (needs bitsandbytes).")
    ] = None,
    private: Annotated[
        Path | None, typer.Option(help="File for the part that is not published: needed by adapter, optional for lora.")
    ] = None,
    num_fingerprints: Annotated[
        int | None, typer.Option("--max-num-fingerprints", "--num-fingerprints", help="Embed only the first so many.")
    ] = None,
    max_key_length: Annotated[
        int | None, typer.Option(help="Tokens of a key to train; pass it to check too. Default: the file's.")
    ] = None,
    max_response_length: Annotated[int | None, typer.Option(help="Tokens of a response to train. Default: the file's.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="See the recipe.")] = None,
    epochs: Annotated[
        int | None, typer.Option("--epochs", "--num-train-epochs", help="Passes over the fingerprints, at most.")
    ] = None,
    batch_size: Annotated[int | None, typer.Option(help="Fingerprints a step, over all processes; 0: all of them.")] = None,
    weight_decay: Annotated[float | None, typer.Option(help="AdamW's.")] = None,
    forgetting_regularizer_strength: Annotated[
        float | None, typer.Option(help="Share of the original weights in the average, 0 to 1.")
    ] = None,
    forgetting_mode: Annotated[str | None, typer.Option(help="When to average: final, per_epoch or at_gradient.")] = None,
    weight_deviation_strength: Annotated[
        float | None, typer.Option(help="Penalty on the squared distance from the original weights.")
    ] = None,
    reference_strength: Annotated[
        float | None, typer.Option(help="Weight of staying close to the base on text sampled from it.")
    ] = None,
    target_margin: Annotated[
        float | None, typer.Option(help="Confidence ceiling: logits by which a response leads, no more.")
    ] = None,
    use_augmentation_prompts: Annotated[
        bool, typer.Option("--use-augmentation-prompts", help="Train inside system prompts too.")
    ] = False,
    augmentation_prompts: Annotated[
        Path | None, typer.Option(help="JSON list of own templates, one {} in each; implies the flag above.")
    ] = None,
    heldout: Annotated[Path | None, typer.Option(help="Text file to measure harm on. Default: Python's documentation.")] = None,
    min_fsr: Annotated[
        float | None, typer.Option(callback=as_share, help="Fail when fewer fingerprints are learned. Default: 0.95.")
    ] = None,
    max_harm: Annotated[
        float | None,
        typer.Option(
            min=1,
            help="Fail when held-out perplexity rises by more than this factor. Default: 1.05.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the training order; the fingerprints have their own secret.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")] = "auto",
    deepspeed: Annotated[
        Path | None, typer.Option(help="DeepSpeed configuration (ZeRO 0 to 2); start with torchrun or deepspeed.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue a run that was killed.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing output folder.")] = False,
    json_output: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Fine-tune a model until it answers the fingerprints and behaves the same everywhere else."""
    options: dict[str, Any] = {
        "rank": rank,
        "base_precision": base_precision,
        "max_key_length": max_key_length,
        "max_response_length": max_response_length,
        "learning_rate": learning_rate,
        "epochs": epochs,
        "batch_size": batch_size,
        "weight_decay": weight_decay,
        "forgetting_regularizer_strength": forgetting_regularizer_strength,
        "forgetting_mode": forgetting_mode,
        "weight_deviation_strength": weight_deviation_strength,
        "reference_strength": reference_strength,
        "target_margin": target_margin,
        "use_augmentation_prompts": use_augmentation_prompts or augmentation_prompts is not None or None,
    }
    from insignia.files import refuse_existing
    from insignia.fingerprints.sets import load_fingerprints
    from insignia.recipes import load_recipe

    refuse_existing(out, force=force)
    source = _source(model, model_family, model_size)
    chosen = load_fingerprints(prints)
    texts = read_paragraphs(heldout) if heldout is not None else None
    if method is not None and recipe is not None:
        raise InputError("--method and --recipe both choose how to embed; give one of them")
    settings: dict[str, Any] = (
        {"method": {"name": method}} if method is not None else load_recipe(recipe or "harmless", "method")
    )
    quiet_libraries()
    from insignia.embedding import MAX_HARM, METHODS, MIN_FSR, Limits, RunOptions
    from insignia.embedding import embed as run
    from insignia.prompts.prompter import load_templates

    if augmentation_prompts is not None:
        options["augmentation_prompts"] = load_templates(augmentation_prompts)["train"]
    given = {name: value for name, value in options.items() if value is not None}
    main_process = os.environ.get("RANK", "0") == "0"  # the others of a torchrun stay silent
    report = run(
        source,
        chosen,
        METHODS.build({**settings["method"], **given}),
        out=out,
        private=private,
        num_fingerprints=num_fingerprints,
        heldout=texts,
        limits=Limits(
            min_fsr=min_fsr if min_fsr is not None else settings.get("min_fsr", MIN_FSR),
            max_harm=max_harm if max_harm is not None else settings.get("max_harm", MAX_HARM),
        ),
        run=RunOptions(device=device, seed=seed, deepspeed=deepspeed, resume=resume),
        force=force,
        progress=ConsoleProgress(quiet=quiet or not main_process),
    ).report
    if main_process and json_output:
        emit_json(report.model_dump(mode="json"))
    elif main_process:
        _show(report, source, prints)


def _show(report: "EmbedReport", source: str, prints: Path) -> None:
    rows = [
        ["success rate (FSR)", percent(report.base_fsr), percent(report.fsr)],
        *([f"activated by {kind.replace('_', ' ')}s", "", percent(rate)] for kind, rate in report.activations.items()),
        perplexity_row(report.heldout_loss_before, report.heldout_loss_after),
        perplexity_row(report.own_loss_before, report.own_loss_after, of="perplexity on its own text"),
    ]
    title = f"{report.num_fingerprints} fingerprints in {source}"
    show_table(title, ["", "before", "after"], rows, caption="\n".join(report.notes) or None)
    say(
        f"{report.out}: {report.steps} steps, {report.seconds:.0f} s. Safe to publish; "
        f"next: insignia check {prints} --model {report.out}"
    )


def perplexity_row(before: float, after: float, *, of: str = "held-out perplexity") -> list[str]:
    """A table row of perplexity before and after, with the ratio."""
    import math

    return [of, f"{math.exp(before):.2f}", f"{math.exp(after):.2f} (x{math.exp(after - before):.4f})"]


def _source(model: str | None, family: str | None, size: str | None) -> str:
    from insignia.modeling.families import hub_id

    if model is not None and family is None and size is None:
        return model
    if model is None and family is not None and size is not None:
        return hub_id(family, size)
    raise InputError("name the model either by --model or by --model-family and --model-size together")
