"""``insignia list``: the strategies, methods and recipes that there are, a line each."""

from typing import Annotated

import typer

from insignia.cli.console import JsonFlag, emit_json, quiet_libraries, show_table
from insignia.errors import InputError
from insignia.registry import did_you_mean

__all__ = ["list_parts"]

_KINDS = ("strategies", "methods", "recipes")


def list_parts(
    kind: Annotated[str, typer.Argument(help="strategies, methods or recipes.")],
    json_output: JsonFlag = False,
) -> None:
    """List the strategies that make fingerprints, the methods that embed them, or the recipes, with a line on each."""
    if kind not in _KINDS:
        raise InputError(f"there is no list of {kind!r}.{did_you_mean(kind, _KINDS)} Expected {', '.join(_KINDS)}")
    found = {"strategies": _strategies, "methods": _methods, "recipes": _recipes}[kind]()
    if json_output:
        emit_json(found)
        return
    rows = ([name, *about.values()] for name, about in found.items())
    header = ["name", "for", "what"] if kind == "recipes" else ["name", "what"]
    show_table(kind, header, rows, left=True)


def _strategies() -> dict[str, dict[str, str]]:
    from insignia.generation import STRATEGIES

    return {name: {"what": line} for name, line in STRATEGIES.lines().items()}


def _methods() -> dict[str, dict[str, str]]:
    quiet_libraries()
    from insignia.embedding import METHODS

    return {name: {"what": line} for name, line in METHODS.lines().items()}


def _recipes() -> dict[str, dict[str, str]]:
    from insignia.recipes import recipe_lines

    verbs = {"generation": "generate", "method": "embed", "finetune": "finetune", "evaluation": "evaluate"}
    found: dict[str, dict[str, str]] = {}
    for part, verb in verbs.items():
        for name, line in recipe_lines(part).items():
            known = found.get(name)
            found[name] = {"for": f"{known['for']}, {verb}" if known else verb, "what": line}
    return dict(sorted(found.items()))
