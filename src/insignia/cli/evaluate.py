"""``insignia evaluate``: a grid of suspects, each with what is expected of it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from insignia.cli.console import ConsoleProgress, JsonFlag, QuietFlag, emit_json, percent, quiet_libraries, say, show_table
from insignia.errors import InputError

if TYPE_CHECKING:
    from insignia.evaluation import Evaluation, Grid

__all__ = ["evaluate"]


def evaluate(
    recipe: Annotated[str, typer.Argument(help="Grid: instructional, or a YAML file with an 'evaluation' part.")],
    model: Annotated[str, typer.Option("--model", "--model-path", help="Base to be marked: folder, hub id or 'starter'.")],
    out: Annotated[Path, typer.Option("--output", "-o", help="Folder of the evaluation; a run that was cut short goes on.")],
    seed: Annotated[int, typer.Option(help="Of fingerprints, training and samples: a study is repeatable.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")] = "auto",
    json_output: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Mark a model, let users fine-tune it, and ask every suspect: what activates, and what must not."""
    from insignia.recipes import load_recipe

    if out.suffix.lower() in (".html", ".json", ".md", ".csv", ".pdf", ".txt"):
        raise InputError(f"{out}: the output is a folder, with evaluation.md and evaluation.json in it; give a folder's name")

    settings = load_recipe(recipe, "evaluation")["evaluation"]
    quiet_libraries()
    from insignia.evaluation import evaluate as run
    from insignia.files import write_text

    result = run(model, _grid(settings), out=out, seed=seed, device=device, progress=ConsoleProgress(quiet=quiet))
    write_text(out / "evaluation.md", _markdown(result))
    if json_output:
        emit_json(result.model_dump(mode="json"))
    else:
        _show(result)
        say(f"The same in {out}/evaluation.md and evaluation.json.")


def _grid(settings: object) -> "Grid":
    from pydantic import ValidationError

    from insignia.evaluation import Grid
    from insignia.registry import explain

    try:
        return Grid.model_validate(settings)
    except ValidationError as error:
        raise InputError(f"the recipe's evaluation: {explain(error, Grid.model_fields)}") from None


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


def _show(result: "Evaluation") -> None:
    show_table(f"{result.num_fingerprints} fingerprints, {result.model}", _HEADER, _rows(result))
    show_table("Harm and use", ["", ""], _harm(result))


def _markdown(result: "Evaluation") -> str:
    lines = [f"# {result.num_fingerprints} fingerprints, {result.model}", ""]
    for header, rows in ((_HEADER, _rows(result)), (["", "measured"], _harm(result))):
        lines += [f"| {' | '.join(header)} |", f"|{'---|' * len(header)}", *(f"| {' | '.join(row)} |" for row in rows), ""]
    return "\n".join(lines)
