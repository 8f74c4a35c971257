"""``insignia evaluate robustness``: marks against attacks, beside controls."""

from pathlib import Path
from typing import Annotated

import typer

from insignia.errors import InputError
from insignia.evaluation import AttackGrid, Mark
from insignia.evaluation.attack_grid import Requirement, unmet
from insignia.flags.fields import takes
from insignia.modeling.placement import Seeded
from insignia.reporting.output import Output, refuse_file_name

__all__ = ["robustness"]

_NOT_MET = 3


@takes("robustness", recipe="robustness")
def robustness(
    base: Annotated[str, typer.Option("--base", help="The unmarked model, a control: folder, hub id or 'starter'.")],
    out: Annotated[Path, typer.Option("--output", "-o", help="Folder of the evaluation; a run that was cut short goes on.")],
    grid: AttackGrid,
    run: Seeded,
    output: Output,
    model: Annotated[
        list[str] | None, typer.Option("--model", "--model-path", help="Marked model. Several: repeat it.")
    ] = None,
    fingerprints: Annotated[
        list[Path] | None, typer.Option(help="Its fingerprint file; one for each --model, in their order.")
    ] = None,
    sibling: Annotated[
        str | None, typer.Option(help="Innocent model made from the base, a second control. Default: one is fine-tuned.")
    ] = None,
    require: Annotated[
        list[str] | None,
        typer.Option(
            help="What must survive: 'prune owned' or 'merge:0.5 owned by text'. If it does not, exit status 3. Repeatable."
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Processes that attack side by side. Default: as many as CPU and memory hold; 1 on a GPU."),
    ] = None,
    keep_models: Annotated[bool, typer.Option("--keep-models", help="Keep the attacked models, one folder a cell.")] = False,
) -> None:
    """Attack marked models and count the keys that still prove each mark, beside what the attacks cost.

    An unmarked base and an innocent sibling are attacked, too. If a mark is found in one of them, the exit status is 1. No
    key is recorded as spent.

    Examples:
        insignia evaluate robustness --model marked --fingerprints prints.json --base starter -o survival
        insignia evaluate robustness --recipe robustness-quick --model marked --fingerprints prints.json --base starter -o quick
    """
    refuse_file_name(out, holding=", with robustness.md and robustness.json in it")
    given = _marks(model or [], fingerprints or [])
    if given.keys() & grid.marks.keys():
        raise InputError("a mark of the recipe has the name of a --model; give it another name")
    grid = grid.model_copy(update={"marks": {**grid.marks, **given}})
    required = [Requirement.of(text, grid.planned()) for text in require or ()]
    from insignia.evaluation import measure_robustness
    from insignia.reporting.base import write_report
    from insignia.reporting.survival import robustness_report

    result = measure_robustness(
        base, grid, out=out, sibling=sibling, **dict(run), keep_models=keep_models, workers=workers, progress=output.progress()
    )
    missed = unmet(required, result)
    document = robustness_report(result, missed)
    for name in ("robustness.md", "robustness.html"):
        write_report(document, out / name)
    document = document.with_lines(f"The same in {out}: robustness.md, robustness.html and robustness.json.")
    output.finish(document, _NOT_MET if missed else 0)


def _marks(models: list[str], files: list[Path]) -> dict[str, Mark]:
    """The marks by the names of their models' folders."""
    if len(models) != len(files):
        raise InputError("--model and --fingerprints belong together: each marked model, and the set that is in it")
    found = {
        Path(model).resolve().name: Mark(model=model, fingerprints=file) for model, file in zip(models, files, strict=True)
    }
    if len(found) < len(models):
        raise InputError("two models have one name; expected folders with different names, by which their marks are called")
    return found
