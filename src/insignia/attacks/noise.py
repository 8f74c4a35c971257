"""Noise on all weights."""

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

__all__ = ["Noise"]


class Noise(WeightAttack):
    """Add Gaussian noise to every tensor, relative to the spread of its values."""

    name: Literal["noise"] = "noise"
    spread: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.05
    """Standard deviation of the noise, as a multiple of that of the tensor's values."""

    def apply(
        self, model: "Source", out: Path, *, seed: int = 0, device: str = "auto", progress: Progress = AUTO
    ) -> "WeightsReport":
        """See ``WeightAttack.apply``."""
        import torch

        from insignia.attacks.rewriting import chance_of, rewrite

        def noisy(entry: "Entry", values: "Tensor") -> "Tensor":
            deviation = values.std(correction=0)
            noise = torch.randn(values.shape, generator=chance_of(seed, entry.name), dtype=values.dtype)
            return values + self.spread * deviation * noise

        return rewrite(model, out, noisy, attack=self, progress=progress)
