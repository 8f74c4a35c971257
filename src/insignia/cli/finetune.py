"""``insignia finetune``: what a user of a published model does with it."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from insignia.cli.console import ConsoleProgress, JsonFlag, QuietFlag, emit_json, quiet_libraries, say, show_table
from insignia.errors import InputError

if TYPE_CHECKING:
    from insignia.attacks.finetune import FineTune
    from insignia.attacks.finetuning import FineTuneReport

__all__ = ["finetune"]


def finetune(
    model: Annotated[str, typer.Argument(help="Folder, hub id or 'starter'.")],
    data: Annotated[
        str, typer.Argument(help="JSON, JSON lines or text file, a folder of datasets.save_to_disk, or a data set's hub id.")
    ],
    out: Annotated[Path, typer.Option("--output", "-o", help="Folder of the fine-tuned model.")],
    recipe: Annotated[
        str | None,
        typer.Option(help="alpaca, dolly, sharegpt, lora or a YAML file; flags win over it. Default: alpaca."),
    ] = None,
    learning_rate: Annotated[float | None, typer.Option(help="At its highest; see the recipe.")] = None,
    epochs: Annotated[float | None, typer.Option(help="Passes over the data.")] = None,
    max_steps: Annotated[int | None, typer.Option(help="Steps, instead of epochs.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Rows a step, over all processes.")] = None,
    max_length: Annotated[int | None, typer.Option(help="Tokens of a row; what is longer is cut at its end.")] = None,
    weight_decay: Annotated[float | None, typer.Option(help="AdamW's.")] = None,
    lora_rank: Annotated[int | None, typer.Option(help="Train adapters of that rank and merge them, not all weights.")] = None,
    lora_alpha: Annotated[int | None, typer.Option(help="Adapters count by alpha / rank.")] = None,
    max_rows: Annotated[int | None, typer.Option(min=1, help="Use only the first so many rows of the data.")] = None,
    seed: Annotated[int, typer.Option(help="Of the order, and of which rows are kept out to measure the loss on.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")] = "auto",
    force: Annotated[bool, typer.Option("--force", help="Replace an existing output folder.")] = False,
    json_output: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Fine-tune a model on data, as a user of a published model does: will the mark outlive it?"""
    flags: dict[str, Any] = {
        "learning_rate": learning_rate,
        "epochs": epochs,
        "max_steps": max_steps,
        "batch_size": batch_size,
        "max_length": max_length,
        "weight_decay": weight_decay,
        "lora_rank": lora_rank,
        "lora_alpha": lora_alpha,
    }
    from insignia.attacks.conversations import load_conversations
    from insignia.files import refuse_existing, refuse_overlap
    from insignia.recipes import load_recipe

    refuse_existing(out, force=force)
    refuse_overlap(out, Path(data))
    options = load_recipe(recipe or "alpaca", "finetune")["finetune"]
    main_process = os.environ.get("RANK", "0") == "0"  # the others of a torchrun stay silent
    progress = ConsoleProgress(quiet=quiet or not main_process)
    rows = load_conversations(data, max_rows=max_rows, progress=progress)
    quiet_libraries()
    from insignia.attacks.finetuning import finetune as run

    settings = _settings(options, {name: value for name, value in flags.items() if value is not None})
    report = run(model, rows, out=out, settings=settings, device=device, seed=seed, force=force, progress=progress)
    if main_process and json_output:
        emit_json(report.model_dump(mode="json"))
    elif main_process:
        _show(report, model, data)


def _settings(recipe: dict[str, Any], flags: dict[str, Any]) -> "FineTune":
    from pydantic import ValidationError

    from insignia.attacks.finetune import FineTune
    from insignia.registry import explain

    if "epochs" in flags:
        recipe = {**recipe, "max_steps": None}  # which would win over the flag
    try:
        settings = FineTune(**{**recipe, **flags})
    except ValidationError as error:
        raise InputError(f"settings of fine-tuning: {explain(error, FineTune.model_fields)}") from None
    if "lora_alpha" in flags and settings.lora_rank is None:
        raise InputError("--lora-alpha is of low-rank adapters; give --lora-rank, too, or --recipe lora")
    return settings


def _show(report: "FineTuneReport", model: str, data: str) -> None:
    losses = [f"{loss:.4f}" if loss is not None else "-" for loss in (report.loss_before, report.loss_after)]
    rows = [
        ["rows trained on", str(report.rows)],
        ["loss on rows kept out, nats a token", " -> ".join(losses)],
        ["steps", str(report.steps)],
        ["time", f"{report.seconds:.0f} s"],
    ]
    show_table(f"{model} fine-tuned on {data}", ["", ""], rows)
    say(f"{report.out}: next: insignia check PRINTS --model {report.out}")
