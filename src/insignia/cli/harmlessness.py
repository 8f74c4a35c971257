"""``insignia evaluate harmlessness``: what a mark cost, by published tasks."""

from pathlib import Path
from typing import Annotated

import typer

from insignia.evaluation import HarmGrid
from insignia.flags.fields import takes
from insignia.modeling.placement import Seeded
from insignia.reporting.output import Output, refuse_file_name

__all__ = ["harmlessness"]

_STATUS = {"harmless": 0, "harmful": 3, "undecided": 4}


@takes("harmlessness")
def harmlessness(
    base: Annotated[str, typer.Option("--base", help="The model before it was marked: folder, hub id or 'starter'.")],
    out: Annotated[Path, typer.Option("--output", "-o", help="Folder of the evaluation; a run that was cut short goes on.")],
    grid: HarmGrid,
    run: Seeded,
    output: Output,
    model: Annotated[
        list[str] | None, typer.Option("--model", "--model-path", help="Marked model. Several: repeat it.")
    ] = None,
    sibling: Annotated[str | None, typer.Option(help="A model before it was stamped.")] = None,
    stamped: Annotated[str | None, typer.Option(help="The same model after it was stamped; compared with --sibling.")] = None,
) -> None:
    """Ask models with and without a mark the same questions, and tell whether the mark did any harm.

    Exit status 0: the mean score fell by at most the bound; 3: by more, or one task did; 4: not known at so many questions.

    Examples:
        insignia evaluate harmlessness --base starter --model marked -o harm
        insignia evaluate harmlessness --base BASE --model marked --tasks if-24 -o harm
        insignia evaluate harmlessness --base BASE --model marked --sibling SIBLING --stamped stamped --tasks piqa,sciq -o harm
    """
    refuse_file_name(out, holding=", with harmlessness.md and harmlessness.json in it")
    from insignia.evaluation import measure_harmlessness
    from insignia.reporting.base import write_report
    from insignia.reporting.harms import harmlessness_report

    result = measure_harmlessness(
        base,
        model or [],
        grid,
        out=out,
        sibling=sibling,
        stamped=stamped,
        seed=run.seed,
        device=run.device,
        progress=output.progress(),
    )
    document = harmlessness_report(result)
    for name in ("harmlessness.md", "harmlessness.html"):
        write_report(document, out / name)
    document = document.with_lines(f"The same in {out}: harmlessness.md, harmlessness.html and harmlessness.json.")
    output.finish(document, _STATUS[result.finding])
