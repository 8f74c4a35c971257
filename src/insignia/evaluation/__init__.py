"""Evaluate methods on a grid of suspects: which activate, and which must not. The settings need no torch."""

from typing import TYPE_CHECKING, Any

from insignia.evaluation.grid import Cell, Evaluation, Grid, User

if TYPE_CHECKING:
    from insignia.evaluation.running import evaluate

__all__ = ["Cell", "Evaluation", "Grid", "User", "evaluate"]


def __getattr__(name: str) -> Any:
    """What needs torch, when it is asked for."""
    if name != "evaluate":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from insignia.evaluation.running import evaluate

    return evaluate
