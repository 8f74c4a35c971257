"""A merge with the original model, computed while training: what a thief would make of the marked model."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from insignia.embedding.regularizers import Original
from insignia.modeling.batches import unwrapped

__all__ = ["SimulatedMerge"]


class SimulatedMerge:
    """Computes what a model would with the trained weights ``w0 + share (w - w0)``. Gradients reach ``w``.

    A forward pass holds one more copy of the trained weights.
    """

    def __init__(self, model: nn.Module, original: Original, share: float) -> None:
        self._model, self._original, self._share = unwrapped(model), original, share

    def __call__(self, **inputs: Any) -> Any:
        """The model's outputs. A head that is tied to the embeddings is merged as they are."""
        return torch.func.functional_call(self._model, dict(self._weights()), kwargs=inputs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def _weights(self) -> Iterator[tuple[str, Tensor]]:
        for name, weight in self._model.named_parameters():
            if weight.requires_grad:
                original = self._original(name, weight)
                yield name, torch.lerp(original, weight, self._share)
