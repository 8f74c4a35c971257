"""Embedding by LoRA: a thousandth of the optimizer memory, and a vector of low rank."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from insignia.embedding.gradient import GradientMethod
from insignia.errors import InputError

if TYPE_CHECKING:
    import torch

    from insignia.modeling.local import LocalModel
    from insignia.training import TrainingResult

__all__ = ["LoRA"]


class LoRA(GradientMethod):
    """Train adapters on all linear layers (Hu et al. 2021) and merge them into the published weights.

    The product is added in fp32 and rounded once, to the checkpoint's dtype. The owner weights are the two factors of each
    weight. Verification does not need them; ``insignia vector --factors`` stores them as a vector of low rank.
    """

    _cooldown: ClassVar[int] = 150  # with 50 the harm was three times that of method full (docs/lab-log.md)

    name: Literal["lora"] = "lora"
    rank: Annotated[int, Field(ge=1)] = 16
    """Rank of the adapters."""
    alpha: Annotated[int, Field(ge=1)] = 32
    """Scale of the adapters: their product is multiplied by alpha / rank."""
    learning_rate: Annotated[float, Field(gt=0)] = 4e-3
    """Learning rate of AdamW."""
    base_precision: Literal["float32", "checkpoint", "4bit"] = "float32"
    """Number format of the frozen weights during training. checkpoint halves the memory of a 16-bit model; 4bit takes an eighth
    (NF4 as in QLoRA, Dettmers et al. 2023; needs bitsandbytes). Adapters merge into the checkpoint's weights."""

    @property
    def dtype(self) -> str:
        """The dtype to load the frozen weights in."""
        return "float32" if self.base_precision == "float32" else "checkpoint"

    @property
    def can_be_split(self) -> bool:
        """Unless the frozen weights are packed in 4 bits."""
        return self.base_precision != "4bit"

    def _prepare(self, model: "LocalModel", keys: Sequence[tuple[int, ...]], seed: int) -> "LocalModel":
        import torch

        from insignia.modeling.loading import load_in_4bit
        from insignia.modeling.lora import with_lora

        base = model.model
        if self.base_precision == "4bit":
            if model.source is None:
                raise InputError("four bits are loaded from files; give the model's folder, or another base_precision")
            place = base.device
            torch.nn.Module.to(base, "cpu")  # frees device memory; transformers annotates "to" wrongly
            base = load_in_4bit(model.source, place)
        return model.wrapping(with_lora(base, rank=self.rank, alpha=self.alpha, seed=seed))

    def _finish(
        self, model: "LocalModel", trained: "LocalModel", outcome: "TrainingResult", dtype: "torch.dtype"
    ) -> "TrainingResult":
        import torch

        from insignia.modeling.lora import add_products, factors_of, products, without_adapters
        from insignia.training import TrainingResult

        added = products(trained.model)
        if self.base_precision == "4bit":
            torch.nn.Module.to(model.model, trained.model.device)
        else:
            model.model = without_adapters(trained.model)
        add_products(model.model, added, dtype)
        return TrainingResult(outcome.steps, outcome.seconds, owner_weights=factors_of(added))
