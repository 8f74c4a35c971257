"""``insignia finetune``: what a user of a published model does with it."""

from pathlib import Path
from typing import Annotated

import typer
from pydantic import ConfigDict, Field

from insignia.attacks.finetune_settings import FineTuneSettings
from insignia.flags.fields import takes
from insignia.modeling.placement import Seeded
from insignia.records import Record
from insignia.reporting.output import Written
from insignia.terminal import command_line

__all__ = ["finetune"]


class _Rows(Record):
    """The rows to train on."""

    model_config = ConfigDict(title="Training")

    max_rows: Annotated[int | None, Field(ge=1)] = None
    """Use only the first so many rows of the data. None: all."""


@takes("finetune", recipe="alpaca")
def finetune(
    model: Annotated[str, typer.Argument(help="Folder, hub id or 'starter'.")],
    data: Annotated[
        str, typer.Argument(help="JSON, JSON lines or text file, a folder of datasets.save_to_disk, or a data set's hub id.")
    ],
    out: Annotated[Path, typer.Option("--output", "-o", help="Folder of the fine-tuned model.")],
    settings: FineTuneSettings,
    limit: _Rows,
    run: Seeded,
    written: Written,
) -> None:
    """Fine-tune a model on data, as a user of a published model does: will the mark outlive it?

    Examples:
        insignia finetune marked rows.json -o tuned --max-steps 50
        insignia finetune marked rows.json -o tuned --recipe lora --lora-rank 16
    """
    from insignia.attacks.conversations import load_conversations
    from insignia.files import refuse_overlap

    written.refuse_folder(out)
    refuse_overlap(out, Path(data))
    progress = written.progress()
    rows = load_conversations(data, max_rows=limit.max_rows, progress=progress)
    from insignia.attacks.finetuning import finetune as tune
    from insignia.reporting.base import report_of

    report = tune(
        model, rows, out=out, settings=settings, device=run.device, seed=run.seed, force=written.force, progress=progress
    )
    written.finish(report_of(report, f"Next: {command_line('insignia', 'check', 'PRINTS', '--model', report.out)}"))
