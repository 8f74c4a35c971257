"""Quantization, simulated: weights become the nearest of a few levels and are stored as before."""

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

__all__ = ["Round"]

_BITS = {"int8": 8, "int4": 4, "int3": 3}
# Levels of NormalFloat, Dettmers et al. 2023 (QLoRA), appendix E.
_NF4 = (
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
    -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
    0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
)  # fmt: skip


class Round(WeightAttack):
    """Round each matrix as quantization would, by the largest magnitude of each group. Embeddings and head stay.

    What the model computes is that of the quantized model with weights of these levels (Dettmers et al. 2022 and 2023).
    """

    name: Literal["round"] = "round"
    to: Literal["int8", "int4", "int3", "nf4"] = "int4"
    """Levels: 255, 15 or 7 evenly spaced ones, or the 16 of NormalFloat (bitsandbytes)."""
    group_size: Annotated[int, Field(ge=1)] = 64
    """Neighbours along a row that share a scale; the last group of a row may be smaller."""

    def apply(
        self, model: "Source", out: Path, *, seed: int = 0, device: str = "auto", progress: Progress = AUTO
    ) -> "WeightsReport":
        """See ``WeightAttack.apply``."""
        from insignia.attacks.rewriting import is_linear, rewrite

        def rounded(entry: "Entry", values: "Tensor") -> "Tensor | None":
            return self._rounded(values) if is_linear(entry) else None

        return rewrite(model, out, rounded, attack=self, progress=progress)

    def _rounded(self, values: "Tensor") -> "Tensor":
        import torch

        parts = []
        for group in values.split(self.group_size, dim=-1):
            scale = group.abs().amax(-1, keepdim=True)
            scaled = group / scale.where(scale > 0, 1.0)
            if self.to == "nf4":
                levels = torch.tensor(_NF4, dtype=values.dtype)
                between = (levels[1:] + levels[:-1]) / 2
                nearest = levels[torch.bucketize(scaled, between)]
            else:
                steps = 2 ** (_BITS[self.to] - 1) - 1
                nearest = (scaled * steps).round() / steps
            parts.append(nearest * scale)
        return torch.cat(parts, dim=-1)
