"""Recipes: named configurations as YAML files, with the source of each number in a comment."""

import itertools
from pathlib import Path
from typing import Any

import yaml

from insignia.errors import FormatError, InputError
from insignia.registry import did_you_mean

__all__ = ["load_recipe", "read_recipe", "recipe_lines", "recipe_names"]

_FOLDER = Path(__file__).parent


def recipe_names(part: str) -> list[str]:
    """Return the names of the bundled recipes that configure a part."""
    return sorted(path.stem for path in _FOLDER.glob("*.yaml") if part in read_recipe(path))


def recipe_lines(part: str) -> dict[str, str]:
    """Return name -> top comment of the bundled recipes that configure a part."""
    found = {}
    for name in recipe_names(part):
        lines = (_FOLDER / f"{name}.yaml").read_text(encoding="utf-8").splitlines()
        comment = " ".join(line.removeprefix("#").strip() for line in itertools.takewhile(lambda line: line[:1] == "#", lines))
        found[name] = comment
    return found


def load_recipe(name: str, part: str) -> dict[str, Any]:
    """Load a recipe by name or path. It maps ``part`` to that part's settings.

    Raises:
        InputError: the recipe does not exist or does not configure the part.
        FormatError: the file or the settings are not a YAML mapping.
    """
    bundled = _FOLDER / f"{name}.yaml"
    path = bundled if bundled.is_file() else Path(name)
    if not path.is_file():
        names = recipe_names(part)
        raise InputError(
            f"there is no recipe {name!r}.{did_you_mean(name, names)} Give a YAML file or one of: {', '.join(names)}"
        )
    recipe = read_recipe(path)
    if part not in recipe:
        choices = " or ".join(filter(None, ["a YAML file with it", ", ".join(recipe_names(part))]))
        near = did_you_mean(part, recipe)
        raise InputError(f"the recipe {name!r} has no '{part}:'.{near} Give {choices}")
    if not isinstance(recipe[part], dict):
        raise FormatError(f"'{part}:' in {path} is not a mapping of settings")
    return recipe


def read_recipe(path: Path) -> dict[str, Any]:
    """Read a recipe file: section -> its settings.

    Raises:
        InputError: the file cannot be read.
        FormatError: it is not a YAML mapping.
    """
    try:
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read the recipe {path}: {error.strerror}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: not UTF-8, or an invalid date
        raise FormatError(f"{path} is not valid YAML") from error
    if not isinstance(value, dict):
        raise FormatError(f"{path} is not a recipe; expected a mapping such as 'embedding: {{method: {{name: full}}}}'")
    recipe: dict[str, Any] = _plain({name: _plain(part) for name, part in value.items()})
    if "method" in recipe:  # so it was in 0.1.0
        recipe["embedding"] = {name: recipe.pop(name) for name in ("method", "min_fsr", "max_harm") if name in recipe}
    return recipe


def _plain(part: Any) -> Any:
    """A section whose names are texts: YAML reads the name ``null`` as nothing."""
    return {"null" if name is None else name: value for name, value in part.items()} if isinstance(part, dict) else part
