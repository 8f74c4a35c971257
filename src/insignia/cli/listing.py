"""``insignia list``: the strategies, methods, recipes and attacks that there are, a line each."""

from typing import Annotated, Literal

import typer

from insignia.cli.console import Output, show_table
from insignia.cli.fields import takes
from insignia.embedding import METHODS
from insignia.generation import STRATEGIES
from insignia.recipes import recipe_lines

__all__ = ["list_parts"]

_VERBS = {"generation": "generate", "embedding": "embed", "finetune": "finetune", "evaluation": "evaluate"}


@takes()
def list_parts(
    kind: Annotated[Literal["strategies", "methods", "recipes"], typer.Argument(help="What to list.")], output: Output
) -> None:
    """List the strategies that make fingerprints, the methods that embed them, or the recipes, with a line on each.

    Examples:
        insignia list strategies
        insignia list recipes --json
    """
    found = _recipes() if kind == "recipes" else _parts((STRATEGIES if kind == "strategies" else METHODS).lines())
    header = ["name", "for", "what"] if kind == "recipes" else ["name", "what"]
    output.tell(found, lambda: show_table(kind, header, ([name, *about.values()] for name, about in found.items()), left=True))


def _parts(lines: dict[str, str]) -> dict[str, dict[str, str]]:
    return {name: {"what": line} for name, line in lines.items()}


def _recipes() -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for section, verb in _VERBS.items():
        for name, line in recipe_lines(section).items():
            known = found.get(name)
            found[name] = {"for": f"{known['for']}, {verb}" if known else verb, "what": line}
    return dict(sorted(found.items()))
