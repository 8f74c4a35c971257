"""``insignia vector``: what marking changed, as a folder that stamps any sibling."""

from pathlib import Path
from typing import Annotated

import typer

from insignia.flags.fields import takes
from insignia.reporting.output import Written
from insignia.terminal import command_line
from insignia.vectors.vector_options import VectorOptions

__all__ = ["vector"]


@takes("vector")
def vector(
    base: Annotated[str, typer.Argument(help="The unmarked model: folder, hub id or 'starter'.")],
    marked: Annotated[str, typer.Argument(help="The same model after 'insignia embed'.")],
    out: Annotated[Path, typer.Option("--output", "-o", help="Folder of the vector. A secret: it removes the mark, too.")],
    stored: VectorOptions,
    written: Written,
) -> None:
    """Store what marking changed: marked minus base.

    Examples:
        insignia vector starter marked -o vector
        insignia vector starter marked -o vector --dtype bfloat16 --rank 16
    """
    written.refuse_folder(out)
    stored.refuse_contradictions()
    from insignia.reporting.base import report_of
    from insignia.vectors import vector as store

    report = store(base, marked, out=out, **dict(stored), force=written.force, progress=written.progress())
    after = command_line("insignia", "stamp", "SIBLING", report.out, "-o", "STAMPED")
    held = f"It holds what {marked} has and {base} lacks."
    written.finish(report_of(report, held, f"Next: {after}"))
