"""Marking by low-rank adapters: a thousandth of the optimizer's memory, and a vector of low rank."""

from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field

from insignia.embedding.tuned import Tuned
from insignia.models.local import LocalModel
from insignia.models.lora import merged, with_lora
from insignia.training import Outcome

__all__ = ["LoRA"]


class LoRA(Tuned):
    """Train adapters on all linear layers (Hu et al. 2021) and merge them into the published weights.

    Merging rounds to the checkpoint's dtype; the adapters themselves can be kept as the private part.
    """

    name: Literal["lora"] = "lora"
    rank: Annotated[int, Field(ge=1)] = 16
    alpha: Annotated[int, Field(ge=1)] = 32
    learning_rate: Annotated[float, Field(gt=0)] = 4e-3

    def _prepare(self, model: LocalModel, keys: Sequence[tuple[int, ...]], seed: int) -> LocalModel:
        del keys, seed
        return model.wrapping(with_lora(model.model, rank=self.rank, alpha=self.alpha))

    def _finish(self, model: LocalModel, trained: LocalModel, outcome: Outcome, dtype: torch.dtype) -> Outcome:
        private = {name: weight.detach().clone() for name, weight in trained.model.named_parameters() if weight.requires_grad}
        model.model = merged(trained.model)
        with torch.no_grad():
            for weight in model.model.parameters():
                weight.copy_(weight.to(dtype))
        return Outcome(outcome.steps, outcome.seconds, private=private)
