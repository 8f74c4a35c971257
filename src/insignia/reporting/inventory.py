"""The parts and recipes that there are, a line each."""

from insignia.attacks.base import ATTACKS, WeightAttack
from insignia.recipes import recipe_lines
from insignia.registry import located
from insignia.reporting.base import Document, Table

__all__ = ["inventory"]

_REGISTRIES = {
    "strategies": "insignia.generation:STRATEGIES",
    "methods": "insignia.embedding:METHODS",
    "nulls": "insignia.statistics.nulls:NULLS",
    "suspects": "insignia.suspects.base:SUSPECTS",
    "attacks": "insignia.attacks.base:ATTACKS",
    "reports": "insignia.reporting.base:REPORTS",
}
_VERBS = {
    "generation": "generate",
    "embedding": "embed",
    "finetune": "finetune",
    "evaluation": "evaluate",
    "robustness": "evaluate robustness",
}


def inventory(kind: str) -> Document:
    """All parts of a kind, those of plug-ins included, or the recipes."""
    if kind == "recipes":
        found, header = _recipes(), ["name", "for", "what"]
    else:
        found = {name: {"what": line} for name, line in located(_REGISTRIES[kind]).lines().items()}
        header = ["name", "what"]
    if kind == "attacks":
        found, header = {name: {"on": _target(name), **about} for name, about in found.items()}, ["name", "on", "what"]
    table = Table.of(kind, header, ([name, *about.values()] for name, about in found.items()), left=True)
    return Document(kind, (table,), found)


def _recipes() -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for section, verb in _VERBS.items():
        for name, line in recipe_lines(section).items():
            known = found.get(name)
            found[name] = {"for": f"{known['for']}, {verb}" if known else verb, "what": line}
    return dict(sorted(found.items()))


def _target(attack: str) -> str:
    return "weights" if issubclass(ATTACKS.get(attack), WeightAttack) else "host"
