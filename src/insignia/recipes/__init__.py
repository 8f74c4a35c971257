"""Named configurations: YAML files, each number with its source in a comment."""

from pathlib import Path
from typing import Any

import yaml

from insignia.errors import FormatError, InputError

__all__ = ["load_recipe", "recipe_names"]

_FOLDER = Path(__file__).parent


def recipe_names() -> list[str]:
    """Names of the recipes that come with insignia."""
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


def load_recipe(name: str) -> dict[str, Any]:
    """A recipe by name, or from a file where the name is a path to one.

    Raises:
        InputError: there is no such recipe or file.
        FormatError: the file is not a YAML mapping.
    """
    path = _FOLDER / f"{name}.yaml" if name in recipe_names() else Path(name)
    if not path.is_file():
        raise InputError(f"there is no recipe {name!r}; give a YAML file or one of: {', '.join(recipe_names())}")
    try:
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise FormatError(f"{path} is not valid YAML") from error
    if not isinstance(value, dict):
        raise FormatError(f"{path} is not a recipe; expected a mapping such as 'method: {{name: full}}'")
    return value
