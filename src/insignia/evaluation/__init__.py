"""Evaluate methods on a grid of suspects, and marks against attacks. The settings and results need no torch."""

from typing import TYPE_CHECKING, Any

from insignia.evaluation.attack_grid import AttackGrid, Mark
from insignia.evaluation.grid import Cell, Evaluation, Grid, User
from insignia.evaluation.harmlessness import HarmGrid, Harmlessness
from insignia.evaluation.robustness import AttackOutcome, Robustness

if TYPE_CHECKING:
    from insignia.evaluation.attacking import measure_robustness
    from insignia.evaluation.measuring_harm import measure_harmlessness
    from insignia.evaluation.running import evaluate

__all__ = [
    "AttackGrid",
    "AttackOutcome",
    "Cell",
    "Evaluation",
    "Grid",
    "HarmGrid",
    "Harmlessness",
    "Mark",
    "Robustness",
    "User",
    "evaluate",
    "measure_harmlessness",
    "measure_robustness",
]

_WITH_TORCH = {
    "evaluate": "insignia.evaluation.running",
    "measure_harmlessness": "insignia.evaluation.measuring_harm",
    "measure_robustness": "insignia.evaluation.attacking",
}


def __getattr__(name: str) -> Any:
    """What needs torch, when it is asked for."""
    if name not in _WITH_TORCH:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_WITH_TORCH[name]), name)
