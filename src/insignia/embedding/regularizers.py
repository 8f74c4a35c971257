"""Ways of not forgetting that act on the weights: averaging with the original ones, and a penalty on leaving them.

OML 1.0's "forgetting regulariser" means two things depending on the engine it runs on (see ``AVERAGING``). The weight
deviation penalty is promised in its documents and implemented nowhere.
"""

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor
from transformers import PreTrainedModel

__all__ = ["Original"]


class Original:
    """The weights before training, for every tensor that is trained. Memory: one copy of those."""

    def __init__(self, model: PreTrainedModel) -> None:
        self._weights = [(weight, weight.detach().clone()) for weight in model.parameters() if weight.requires_grad]

    @torch.no_grad()
    def average(self, strength: float) -> None:
        """``w <- (1 - strength) w + strength w0``, in place."""
        for weight, original in self._weights:
            weight.lerp_(original, strength)

    def deviation(self) -> Tensor:
        """Half the squared distance from the original weights, differentiable."""
        return torch.stack([(weight - original).square().sum() for weight, original in self._weights]).sum() / 2

    @torch.no_grad()
    def publishable(self, strength: float, dtype: torch.dtype) -> None:
        """Turn the weights into those that will be published: averaged, and rounded to the checkpoint's dtype."""
        self.average(strength)
        for weight, _ in self._weights:
            weight.copy_(weight.to(dtype))

    @contextlib.contextmanager
    def as_published(self, strength: float, dtype: torch.dtype) -> Iterator[None]:
        """The published weights for the length of the block, then the trained ones again."""
        kept = [weight.detach().clone() for weight, _ in self._weights]
        self.publishable(strength, dtype)
        try:
            yield
        finally:
            with torch.no_grad():
                for (weight, _), value in zip(self._weights, kept, strict=True):
                    weight.copy_(value)
