"""``insignia list``: the parts and recipes that there are, a line each."""

from typing import Annotated, Any

import typer

from insignia.cli.console import JsonFlag, emit_json, quiet_libraries, show_table
from insignia.errors import InputError
from insignia.registry import Registry, did_you_mean, located

__all__ = ["list_parts"]

_REGISTRIES = {
    "strategies": "insignia.generation:STRATEGIES",
    "methods": "insignia.embedding:METHODS",
    "nulls": "insignia.statistics.nulls:NULLS",
    "suspects": "insignia.suspects.base:SUSPECTS",
    "attacks": "insignia.attacks.base:ATTACKS",
}
_KINDS = (*_REGISTRIES, "recipes")


def list_parts(
    kind: Annotated[str, typer.Argument(help="strategies, methods, nulls, suspects, attacks or recipes.")],
    json_output: JsonFlag = False,
) -> None:
    """List the strategies, methods, nulls, suspects, attacks or recipes, those of plug-ins included, with a line on each."""
    if kind not in _KINDS:
        raise InputError(f"there is no list of {kind!r}.{did_you_mean(kind, _KINDS)} Expected {', '.join(_KINDS)}")
    found = _recipes() if kind == "recipes" else _parts(kind)
    if json_output:
        emit_json(found)
        return
    rows = ([name, *about.values()] for name, about in found.items())
    header = ["name", "for", "what"] if kind == "recipes" else ["name", "what"]
    show_table(kind, header, rows, left=True)


def _parts(kind: str) -> dict[str, dict[str, str]]:
    if kind in ("methods", "suspects", "attacks"):  # these load torch
        quiet_libraries()
    registry: Registry[Any] = located(_REGISTRIES[kind])
    return {name: {"what": line} for name, line in registry.lines().items()}


def _recipes() -> dict[str, dict[str, str]]:
    from insignia.recipes import recipe_lines

    verbs = {"generation": "generate", "method": "embed", "finetune": "finetune", "evaluation": "evaluate"}
    found: dict[str, dict[str, str]] = {}
    for part, verb in verbs.items():
        for name, line in recipe_lines(part).items():
            known = found.get(name)
            found[name] = {"for": f"{known['for']}, {verb}" if known else verb, "what": line}
    return dict(sorted(found.items()))
