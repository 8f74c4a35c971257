"""``insignia finetune``: what a user of a published model does with it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import Field

from insignia.attacks.finetune import FineTune
from insignia.cli.console import Written, quiet_libraries, say, show_table
from insignia.cli.fields import takes
from insignia.modeling.placement import Device

if TYPE_CHECKING:
    from insignia.attacks.finetuning import FineTuneReport

__all__ = ["finetune"]


class _Run(Device):
    """How a user's run is done."""

    max_rows: Annotated[int | None, Field(ge=1)] = None
    """Use only the first so many rows of the data. None: all."""
    seed: int = 0
    """Seed of the order, and of which rows are kept out to measure the loss on."""


@takes("finetune", recipe="alpaca")
def finetune(
    model: Annotated[str, typer.Argument(help="Folder, hub id or 'starter'.")],
    data: Annotated[
        str, typer.Argument(help="JSON, JSON lines or text file, a folder of datasets.save_to_disk, or a data set's hub id.")
    ],
    out: Annotated[Path, typer.Option("--output", "-o", help="Folder of the fine-tuned model.")],
    settings: FineTune,
    run: _Run,
    written: Written,
) -> None:
    """Fine-tune a model on data, as a user of a published model does: will the mark outlive it?

    Examples:
        insignia finetune marked rows.json -o tuned --max-steps 50
        insignia finetune marked rows.json -o tuned --recipe lora --lora-rank 16
    """
    from insignia.attacks.conversations import load_conversations
    from insignia.files import refuse_existing, refuse_overlap

    refuse_existing(out, force=written.force)
    refuse_overlap(out, Path(data))
    progress = written.progress()
    rows = load_conversations(data, max_rows=run.max_rows, progress=progress)
    quiet_libraries()
    from insignia.attacks.finetuning import finetune as tune

    report = tune(
        model, rows, out=out, settings=settings, device=run.device, seed=run.seed, force=written.force, progress=progress
    )
    written.tell(report, lambda: _show(report, model, data))


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
