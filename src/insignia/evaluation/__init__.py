"""Evaluate methods on a grid of suspects: which activate, and which must not."""

from insignia.evaluation.grid import Cell, Evaluation, Grid, User
from insignia.evaluation.running import evaluate

__all__ = ["Cell", "Evaluation", "Grid", "User", "evaluate"]
