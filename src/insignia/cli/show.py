"""``insignia show``: what a file or a folder is, and what it can prove; never a key or a response."""

from pathlib import Path
from typing import Annotated

import typer

from insignia.flags.fields import takes
from insignia.reporting.output import Output

__all__ = ["show"]


@takes()
def show(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="A file or folder that a command of insignia wrote or reads.")],
    output: Output,
) -> None:
    """Tell what a file or folder is, what it can prove, and what is spent of it; never a key or a response.

    It knows fingerprint sets (locked ones, too), ledgers, transcripts, commitments, bundles, nulls, verdicts, evaluations,
    recipes, vectors and models.

    Examples:
        insignia show prints.json
        insignia show marked --json
    """
    from insignia.cli.main import stages
    from insignia.reporting.inspection import inspect

    output.finish(inspect(path, lambda: [stage.section for stage in stages()]))
