"""Regularizers on the weights: averaging with the original weights, and a penalty on the distance from them.

OML 1.0's "forgetting regularizer" does different things on different engines (see ``AveragingMode``). Its documents promise
the penalty, but its code lacks it.
"""

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor
from transformers import PreTrainedModel

__all__ = ["Original"]


class Original:
    """A copy of the trained tensors from before training."""

    def __init__(self, model: PreTrainedModel) -> None:
        self._weights = [(weight, weight.detach().clone()) for weight in model.parameters() if weight.requires_grad]

    @torch.no_grad()
    def average(self, strength: float) -> None:
        """Replace ``w`` by ``(1 - strength) w + strength w0``."""
        for weight, original in self._weights:
            weight.lerp_(original, strength)

    def deviation(self) -> Tensor:
        """Half the squared distance from the original weights, differentiable."""
        return torch.stack([(weight - original).square().sum() for weight, original in self._weights]).sum() / 2

    @torch.no_grad()
    def publishable(self, strength: float, dtype: torch.dtype) -> None:
        """Average the weights and round them to the checkpoint's dtype."""
        self.average(strength)
        for weight, _ in self._weights:
            weight.copy_(weight.to(dtype))

    @contextlib.contextmanager
    def as_published(self, strength: float, dtype: torch.dtype) -> Iterator[None]:
        """Use the weights to publish inside the block, then restore the trained ones."""
        kept = [weight.detach().clone() for weight, _ in self._weights]
        self.publishable(strength, dtype)
        try:
            yield
        finally:
            with torch.no_grad():
                for (weight, _), value in zip(self._weights, kept, strict=True):
                    weight.copy_(value)
