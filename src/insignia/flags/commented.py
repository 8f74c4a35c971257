"""A stage's settings as a commented section of a recipe."""

import json
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any

import yaml
from pydantic import BaseModel

from insignia.docstrings import sentence
from insignia.flags.fields import Stage
from insignia.flags.parameters import fields
from insignia.recipes import load_recipe

__all__ = ["commented"]

_WIDTH = 120
_END = "\n..."  # which YAML writes after a bare value


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
        value = usual.get(name, field.get_default(call_default_factory=True, validated_data={}))
        left_out = "# " if "Default: " in text else ""  # what is chosen to suit the set or the model unless it is given
        if isinstance(value, dict) and all(isinstance(each, dict) for each in value.values()) and value:
            yield f"{indent}{left_out}{name}:"
            yield from (f"{indent}{left_out}  {key}: {_said(each)}" for key, each in value.items())
        else:
            yield f"{indent}{left_out}{name}: {_said(value)}"


def _said(value: Any) -> str:
    """The value on one line."""
    value = str(value) if isinstance(value, PurePath) else list(value) if isinstance(value, tuple) else value
    said = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10_000).partition(_END)[0].strip()
    return json.dumps(value) if "\n" in said else said  # JSON is YAML, too, and has line ends as \n
