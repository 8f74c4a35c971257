"""``insignia init``: a commented recipe with the settings of every stage."""

import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from pydantic import BaseModel

from insignia.cli.console import Written, say
from insignia.cli.fields import Stage, takes
from insignia.cli.flags import fields
from insignia.docstrings import sentence
from insignia.files import refuse_ending, refuse_existing, write_text
from insignia.recipes import load_recipe

__all__ = ["commented", "init"]

_WIDTH = 120
_END = "\n..."  # which YAML writes after a bare value
_HEAD = """# Settings of insignia, each with its default. Keep what you change, drop the rest. Use the file by --recipe {path}.
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

    refuse_ending(path, ".yaml")
    refuse_existing(path, force=written.force)
    found = stages()
    write_text(path, _HEAD.format(path=path) + "".join(f"\n{commented(stage)}" for stage in found))
    sections = [stage.section for stage in found]
    written.tell({"out": str(path), "sections": sections}, lambda: say(f"{path}: settings of {', '.join(sections)}."))


def commented(stage: Stage) -> str:
    """A stage's section of a recipe: each setting after its sentence, as in the stage's usual recipe or by default."""
    usual = load_recipe(stage.usual, stage.section)[stage.section] if stage.usual else {}
    lines = [f"{stage.section}:"]
    for record in stage.records:
        lines += _lines(record, "  ", usual)
    for key, parts in stage.parts.items():
        lines += [f"  # One of {', '.join(parts.registry.builtin())}, with its own settings.", f"  {key}:"]
        lines += [f"    name: {parts.usual}", *_lines(parts.registry.get(parts.usual), "    ", usual.get(key, {}))]
    return "\n".join(lines) + "\n"


def _lines(record: type[BaseModel], indent: str, usual: Mapping[str, Any]) -> Iterator[str]:
    for name, field in fields(record).items():
        text = sentence(record, name).replace("None: ", "null: ")
        yield from textwrap.wrap(text, _WIDTH, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# ")
        value = usual.get(name, field.default)
        said = yaml.safe_dump(list(value) if isinstance(value, tuple) else value, default_flow_style=True, width=10_000)
        left_out = "# " if "Default: " in text else ""  # what is chosen to suit the set or the model unless it is given
        yield f"{indent}{left_out}{name}: {said.partition(_END)[0].strip()}"
