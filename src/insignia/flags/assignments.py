"""What ``--recipe`` and ``--set`` say of a stage."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

import yaml

from insignia import recipes
from insignia.errors import InputError
from insignia.registry import did_you_mean

__all__ = ["Given", "read_settings"]


class Given(NamedTuple):
    """Settings of a stage by name; a part's are a mapping under its own name, such as ``method``."""

    recipe: Mapping[str, Any]
    assigned: Mapping[str, Any]
    """What ``--set`` says."""


def read_settings(
    section: str, recipe: str | None, assigned: Iterable[str], known: Collection[str], parts: tuple[str, ...]
) -> Given:
    """What the recipe's section and the assignments say, each name one of ``known`` or of ``parts``.

    A name that is neither is an option of the part, where there is one: only the part knows its options.

    Raises:
        InputError: a name that does not exist, with the nearest that does, or something that is no assignment.
    """
    names = [*known, *parts]
    found = {} if recipe is None else recipes.load_recipe(recipe, section)[section]
    expected = f"Expected {', '.join(sorted(names))}"
    for name in found.keys() - set(names):
        raise InputError(f"recipe {recipe!r}: '{section}:' has {name!r}.{did_you_mean(name, names)} {expected}")
    for name in found.keys() & set(parts):
        if not isinstance(found[name], dict):
            raise InputError(f"recipe {recipe!r}: '{name}:' is no mapping; expected one such as {{name: ...}}")
    values: dict[str, Any] = {}
    for assignment in assigned:
        path, equals, text = assignment.partition("=")
        first, *rest = path.strip().replace("-", "_").split(".")
        if not equals or not first:
            raise InputError(f"--set {path}: expected NAME=VALUE")
        if first not in names:
            if not parts:
                raise InputError(f"--set {first}: there is no such setting.{did_you_mean(first, names)} {expected}")
            first, *rest = parts[0], first, *rest
        place = values
        for step in [first, *rest][:-1]:
            place = place.setdefault(step, {})
            if not isinstance(place, dict):
                raise InputError(f"--set {path}: {step} was given a value and cannot hold others")
        place[[first, *rest][-1]] = _value(path, text)
    if wrong := next((name for name in parts if not isinstance(values.get(name, {}), dict)), None):
        raise InputError(f"--set {wrong}: expected one of its options, such as {wrong}.name=...")
    return Given(found, values)


def _value(path: str, text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):
        raise InputError(f"--set {path}: the value is not valid YAML; quote it") from None
