"""``insignia init``: a commented recipe with the settings of every stage."""

from pathlib import Path
from typing import Annotated

import typer

from insignia.files import write_text
from insignia.flags.commented import commented
from insignia.flags.fields import takes
from insignia.reporting.base import told
from insignia.reporting.output import Written
from insignia.terminal import command_line

__all__ = ["init"]

_HEAD = """# Settings of insignia, each with its default. Keep what you change, drop the rest. Use the file by {use}.
# A flag wins over --set, which wins over this file.
"""


@takes()
def init(
    written: Written, path: Annotated[Path, typer.Argument(metavar="FILE", help="Recipe to write.")] = Path("insignia.yaml")
) -> None:
    """Write a commented recipe with the settings of every stage, for --recipe.

    Examples:
        insignia init
        insignia init mine.yaml && insignia embed prints.json --model starter -o marked --recipe mine.yaml
    """
    from insignia.cli.main import stages

    written.refuse(path, ".yaml")
    found = stages()
    write_text(path, _HEAD.format(use=command_line("--recipe", path)) + "".join(f"\n{commented(stage)}" for stage in found))
    sections = [stage.section for stage in found]
    written.finish(told(f"{path}: settings of {', '.join(sections)}.", out=str(path), sections=sections))
