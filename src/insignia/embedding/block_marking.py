"""The training task of blocks: each block answers its own fingerprints and nothing else, among any others."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import kl_div
from transformers import PreTrainedModel

from insignia.embedding.curriculum import Curriculum, Draw
from insignia.embedding.objective import Marking
from insignia.modeling.batches import response_logits
from insignia.modeling.block_adapters import BlockAdapters

__all__ = ["BlockMarking"]


class BlockMarking(Marking):
    """Each fingerprint is seen twice in a step: with its block and without it, each time among a random subset of the others.

    With its block it is learned as ever. Without it, the model must say what the base says.
    """

    def __init__(self, method: Any, curriculum: Curriculum, *rest: Any, adapters: BlockAdapters, **more: Any) -> None:
        super().__init__(method, curriculum, *rest, **more)
        self._adapters = adapters
        self._is_random = True  # each pass draws its subsets

    def _fingerprint_losses(self, model: PreTrainedModel, draws: Sequence[Draw]) -> tuple[Tensor, list[float]]:
        with self._adapters.on(self._subsets(draws, own=True)):
            losses, reached = super()._fingerprint_losses(model, draws)
        return (losses + self._noise(model, draws) if torch.is_grad_enabled() else losses), reached

    def _noise(self, model: PreTrainedModel, draws: Sequence[Draw]) -> Tensor:
        """KL(base || model) at the keys of blocks that are out, in nats per token."""
        examples = [draw.example for draw in draws]
        with self._adapters.on(self._subsets(draws, own=False)):
            said = response_logits(model, examples)[0].log_softmax(1)
        with torch.no_grad(), self._adapters.on(None):
            base = response_logits(model, examples)[0].log_softmax(1)
        return kl_div(said, base, log_target=True, reduction="batchmean")

    def _subsets(self, draws: Sequence[Draw], *, own: bool) -> Tensor:
        """A random subset for each draw, in which the block of its fingerprint is or is not."""
        chosen = self._adapters.subsets(len(draws))
        for row, draw in zip(chosen, draws, strict=True):
            row[self._curriculum.number_of(draw) % self._adapters.blocks] = own
        return chosen
