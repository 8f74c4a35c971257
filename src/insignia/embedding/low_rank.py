"""Marking by low-rank adapters: a thousandth of the optimizer's memory, and a vector of low rank."""

from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field

from insignia.checkpoints import LEFT, RIGHT
from insignia.embedding.gradient import GradientMethod
from insignia.errors import InputError
from insignia.modeling.loading import load_in_4bit
from insignia.modeling.local import LocalModel
from insignia.modeling.lora import products, unloaded, with_lora
from insignia.training import TrainingResult

__all__ = ["LoRA"]


class LoRA(GradientMethod):
    """Train adapters on all linear layers (Hu et al. 2021) and merge them into the published weights.

    Merging adds in fp32 and rounds once, to the checkpoint's dtype. The private part, which nobody needs to ask the mark,
    is what was added: two factors for each weight, from which ``insignia vector --factors`` makes a vector of their rank.
    """

    name: Literal["lora"] = "lora"
    rank: Annotated[int, Field(ge=1)] = 16
    alpha: Annotated[int, Field(ge=1)] = 32
    learning_rate: Annotated[float, Field(gt=0)] = 4e-3
    base_precision: Literal["float32", "checkpoint", "4bit"] = "float32"
    """Of the frozen weights while adapters are trained: ``checkpoint`` halves what models of 16 bits take, ``4bit`` (NF4,
    as in QLoRA, Dettmers et al. 2023; needs bitsandbytes) takes an eighth. What is merged into are the checkpoint's weights."""

    @property
    def dtype(self) -> str:
        """Frozen weights need no more than they are stored in."""
        return "float32" if self.base_precision == "float32" else "checkpoint"

    def _prepare(self, model: LocalModel, keys: Sequence[tuple[int, ...]], seed: int) -> LocalModel:
        del keys, seed
        base = model.model
        if self.base_precision == "4bit":
            if model.source is None:
                raise InputError("four bits are loaded from files; give the model's folder, or another base_precision")
            place = base.device
            torch.nn.Module.to(base, "cpu")  # makes room; transformers' own annotation of "to" is wrong
            base = load_in_4bit(model.source, place)
        return model.wrapping(with_lora(base, rank=self.rank, alpha=self.alpha))

    def _finish(self, model: LocalModel, trained: LocalModel, outcome: TrainingResult, dtype: torch.dtype) -> TrainingResult:
        added = products(trained.model)
        if self.base_precision == "4bit":
            torch.nn.Module.to(model.model, trained.model.device)
        else:
            model.model = unloaded(trained.model)
        with torch.no_grad():
            for name, (left, right) in added.items():
                weight = model.model.get_parameter(name)
                weight.copy_(torch.addmm(weight.float(), left, right).to(dtype))
        parts = {name + end: part for name, pair in added.items() for end, part in zip((LEFT, RIGHT), pair, strict=True)}
        return TrainingResult(outcome.steps, outcome.seconds, private=parts)
