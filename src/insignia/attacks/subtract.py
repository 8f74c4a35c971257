"""Subtraction of a stolen fingerprint vector."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from insignia.attacks.base import WeightAttack
from insignia.progress import AUTO, Progress

if TYPE_CHECKING:
    from insignia.modeling.sources import Source
    from insignia.vectors import StampReport

__all__ = ["Subtract"]


class Subtract(WeightAttack):
    """Subtract a stolen fingerprint vector (Xu et al. 2024, FP-VEC), perhaps with the wrong scale."""

    name: Literal["subtract"] = "subtract"
    vector: Path
    """Folder made by 'insignia vector'."""
    scale: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1.0
    """Multiple of the vector that is subtracted. 1 is what was added."""

    def apply(
        self, model: "Source", out: Path, *, seed: int = 0, device: str = "auto", progress: Progress = AUTO
    ) -> "StampReport":
        """See ``WeightAttack.apply``."""
        from insignia.vectors import stamp

        return stamp(model, self.vector, out=out, scale=-self.scale, force=True, progress=progress)
