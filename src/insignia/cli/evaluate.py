"""``insignia evaluate``: a grid of suspects, each with what is expected of it."""

from pathlib import Path
from typing import Annotated

import typer

from insignia.evaluation import Grid
from insignia.flags.fields import takes
from insignia.modeling.placement import Seeded
from insignia.reporting.output import Output, refuse_file_name

__all__ = ["evaluate"]


@takes("evaluation", recipe="instructional")
def evaluate(
    recipe: Annotated[str, typer.Argument(help="Grid: instructional, or a YAML file with an 'evaluation:' section.")],
    model: Annotated[str, typer.Option("--model", "--model-path", help="Base to be marked: folder, hub id or 'starter'.")],
    out: Annotated[Path, typer.Option("--output", "-o", help="Folder of the evaluation; a run that was cut short goes on.")],
    grid: Grid,
    run: Seeded,
    output: Output,
) -> None:
    """Mark a model, let users fine-tune it, and ask every suspect: what activates, and what must not.

    'evaluate robustness' takes marks through a grid of attacks.

    Examples:
        insignia evaluate instructional --model starter -o study
        insignia evaluate instructional --model starter -o study --draws 0 --num-fingerprints 16
    """
    del recipe  # the grid was read from it
    refuse_file_name(out, holding=", with evaluation.md and evaluation.json in it")
    from insignia.evaluation import evaluate as ask_all
    from insignia.reporting.base import write_report
    from insignia.reporting.measurements import evaluation_report

    document = evaluation_report(ask_all(model, grid, out=out, seed=run.seed, device=run.device, progress=output.progress()))
    for name in ("evaluation.md", "evaluation.html"):
        write_report(document, out / name)
    output.finish(document.with_lines(f"The same in {out}: evaluation.md, evaluation.html and evaluation.json."))
