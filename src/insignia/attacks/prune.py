"""Magnitude pruning: the smallest weights become 0."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from insignia.attacks.base import WeightAttack
from insignia.progress import AUTO, Progress

if TYPE_CHECKING:
    from torch import Tensor

    from insignia.attacks.rewriting import WeightsReport
    from insignia.checkpoints import Entry
    from insignia.modeling.sources import Source

__all__ = ["Prune"]


class Prune(WeightAttack):
    """Set the smallest weights of each matrix to 0 (magnitude pruning, Han et al. 2015). Embeddings and head stay."""

    name: Literal["prune"] = "prune"
    share: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Share of each matrix that becomes 0. 0.5 is the usual test of pruning methods (Sun et al. 2024)."""

    def apply(
        self, model: "Source", out: Path, *, seed: int = 0, device: str = "auto", progress: Progress = AUTO
    ) -> "WeightsReport":
        """See ``WeightAttack.apply``."""
        from insignia.attacks.rewriting import is_linear, rewrite, smallest

        def pruned(entry: "Entry", values: "Tensor") -> "Tensor | None":
            if not is_linear(entry):
                return None
            return values.masked_fill(smallest(values, round(self.share * values.numel())), 0.0)

        return rewrite(model, out, pruned, attack=self, progress=progress)
