"""``insignia list``: the parts and recipes that there are, a line each."""

from typing import Annotated, Any, Literal

import typer

from insignia.flags.fields import takes
from insignia.recipes import recipe_lines
from insignia.registry import Registry, located
from insignia.reporting.base import Document, Table
from insignia.reporting.output import Output

__all__ = ["list_parts"]

_REGISTRIES = {
    "strategies": "insignia.generation:STRATEGIES",
    "methods": "insignia.embedding:METHODS",
    "nulls": "insignia.statistics.nulls:NULLS",
    "suspects": "insignia.suspects.base:SUSPECTS",
    "attacks": "insignia.attacks.base:ATTACKS",
    "reports": "insignia.reporting.base:REPORTS",
}
_VERBS = {"generation": "generate", "embedding": "embed", "finetune": "finetune", "evaluation": "evaluate"}


@takes()
def list_parts(
    kind: Annotated[
        Literal["strategies", "methods", "nulls", "suspects", "attacks", "reports", "recipes"],
        typer.Argument(help="What to list."),
    ],
    output: Output,
) -> None:
    """List the strategies, methods, nulls, suspects, attacks, reports or recipes, with a line on each; also those of plug-ins.

    Examples:
        insignia list strategies
        insignia list recipes --json
    """
    found = _recipes() if kind == "recipes" else _parts(located(_REGISTRIES[kind]))
    header = ["name", "for", "what"] if kind == "recipes" else ["name", "what"]
    table = Table.of(kind, header, ([name, *about.values()] for name, about in found.items()), left=True)
    output.finish(Document(kind, (table,), found))


def _parts(registry: Registry[Any]) -> dict[str, dict[str, str]]:
    return {name: {"what": line} for name, line in registry.lines().items()}


def _recipes() -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for section, verb in _VERBS.items():
        for name, line in recipe_lines(section).items():
            known = found.get(name)
            found[name] = {"for": f"{known['for']}, {verb}" if known else verb, "what": line}
    return dict(sorted(found.items()))
