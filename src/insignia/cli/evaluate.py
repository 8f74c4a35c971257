"""``insignia evaluate``: a grid of suspects, each with what is expected of it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from insignia.cli.console import Output, percent, quiet_libraries, say, show_table
from insignia.cli.fields import takes
from insignia.errors import InputError
from insignia.evaluation import Grid
from insignia.modeling.placement import Device

if TYPE_CHECKING:
    from insignia.evaluation import Evaluation

__all__ = ["evaluate"]


class _Run(Device):
    """How a study is run."""

    seed: int = 0
    """Seed of fingerprints, training and samples: a study is repeatable."""


@takes("evaluation", recipe="instructional")
def evaluate(
    recipe: Annotated[str, typer.Argument(help="Grid: instructional, or a YAML file with an 'evaluation:' section.")],
    model: Annotated[str, typer.Option("--model", "--model-path", help="Base to be marked: folder, hub id or 'starter'.")],
    out: Annotated[Path, typer.Option("--output", "-o", help="Folder of the evaluation; a run that was cut short goes on.")],
    grid: Grid,
    run: _Run,
    output: Output,
) -> None:
    """Mark a model, let users fine-tune it, and ask every suspect: what activates, and what must not.

    Examples:
        insignia evaluate instructional --model starter -o study
        insignia evaluate instructional --model starter -o study --draws 0 --num-fingerprints 16
    """
    del recipe  # the grid was read from it
    if out.suffix.lower() in (".html", ".json", ".md", ".csv", ".pdf", ".txt"):
        raise InputError(f"{out}: the output is a folder, with evaluation.md and evaluation.json in it; give a folder's name")
    quiet_libraries()
    from insignia.evaluation import evaluate as ask_all
    from insignia.files import write_text

    result = ask_all(model, grid, out=out, seed=run.seed, device=run.device, progress=output.progress())
    write_text(out / "evaluation.md", _markdown(result))
    output.tell(result, lambda: _show(result, out))


_HEADER = ["suspect", "should activate", "hits", "FSR", "p-value"]


def _rows(result: "Evaluation") -> list[list[str]]:
    expected = {True: "yes", False: "no", None: "may"}
    return [
        [
            cell.name,
            expected[cell.should_activate] + ("" if cell.as_expected in (True, None) else " (!)"),
            f"{cell.hits} / {cell.answered}",
            percent(cell.fsr),
            "-" if cell.p_value is None else f"{cell.p_value:.2g}",
        ]
        for cell in result.cells
    ]


def _harm(result: "Evaluation") -> list[list[str]]:
    return [[f"perplexity of {name} published", f"x{ratio:.4f}"] for name, ratio in result.perplexity.items()] + [
        [f"loss of {name}", " -> ".join("-" if loss is None else f"{loss:.3f}" for loss in losses)]
        for name, losses in result.user_loss.items()
    ]


def _show(result: "Evaluation", out: Path) -> None:
    show_table(f"{result.num_fingerprints} fingerprints, {result.model}", _HEADER, _rows(result))
    show_table("Harm and use", ["", ""], _harm(result))
    say(f"The same in {out}/evaluation.md and evaluation.json.")


def _markdown(result: "Evaluation") -> str:
    lines = [f"# {result.num_fingerprints} fingerprints, {result.model}", ""]
    for header, rows in ((_HEADER, _rows(result)), (["", "measured"], _harm(result))):
        lines += [f"| {' | '.join(header)} |", f"|{'---|' * len(header)}", *(f"| {' | '.join(row)} |" for row in rows), ""]
    return "\n".join(lines)
