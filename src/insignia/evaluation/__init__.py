"""Who activates and who must not: a grid of suspects, from one recipe, with one table."""

from insignia.evaluation.grid import Cell, Evaluation, Grid, User
from insignia.evaluation.running import evaluate

__all__ = ["Cell", "Evaluation", "Grid", "User", "evaluate"]
