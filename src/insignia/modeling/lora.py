"""LoRA adapters on all linear layers, through PEFT."""

import warnings
from collections.abc import Mapping
from typing import NamedTuple, cast

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora import LoraLayer
from torch import Tensor
from transformers import PreTrainedModel

from insignia.checkpoints import LEFT, RIGHT
from insignia.modeling.shards import whole

__all__ = ["Product", "add_products", "factors_of", "merged", "products", "products_of", "with_lora", "without_adapters"]

_NAME = "default"  # PEFT's name for an unnamed adapter
_PREFIX = "base_model.model."


class Product(NamedTuple):
    """Two fp32 factors; an adapter adds ``left @ right`` to a weight."""

    left: Tensor
    """(rows, rank)"""
    right: Tensor
    """(rank, columns)"""


def with_lora(model: PreTrainedModel, *, rank: int, alpha: int, seed: int = 0) -> PreTrainedModel:
    """Add trainable adapters and freeze everything else. The output is unchanged until they are trained."""
    config = LoraConfig(r=rank, lora_alpha=alpha, target_modules="all-linear", task_type="CAUSAL_LM")
    with torch.random.fork_rng(), warnings.catch_warnings():
        # PEFT 0.21 asks transformers 5.23 for an attribute that is deprecated.
        warnings.filterwarnings("ignore", message="`is_gradient_checkpointing`", category=FutureWarning)
        warnings.filterwarnings("ignore", message="fan_in_fan_out", category=UserWarning)  # GPT-2: PEFT corrects it itself
        torch.manual_seed(seed)
        return cast(PreTrainedModel, get_peft_model(model, config))


def merged(model: PreTrainedModel) -> PreTrainedModel:
    """The model with its adapters merged into its weights."""
    return cast(PreTrainedModel, cast(PeftModel, model).merge_and_unload())


def without_adapters(model: PreTrainedModel) -> PreTrainedModel:
    """The model without its adapters."""
    return cast(PreTrainedModel, cast(PeftModel, model).unload())


@torch.no_grad()
def products(model: PreTrainedModel) -> dict[str, Product]:
    """Weight name in the model without adapters -> the product that its adapter adds."""
    found = {}
    for name, layer in model.named_modules():
        if isinstance(layer, LoraLayer):
            down, up = (_values(getattr(layer, part)[_NAME].weight) for part in ("lora_A", "lora_B"))
            up = up * layer.scaling[_NAME]
            stored_by_column = getattr(layer, "fan_in_fan_out", False)  # GPT-2's layers
            found[f"{name.removeprefix(_PREFIX)}.weight"] = Product(down.T, up.T) if stored_by_column else Product(up, down)
    return found


@torch.no_grad()
def add_products(model: PreTrainedModel, added: Mapping[str, Product], dtype: torch.dtype) -> None:
    """Add these products to the weights in fp32, and round once to the dtype."""
    for name, (left, right) in added.items():
        with whole(model.get_parameter(name), change=True) as values:
            values.copy_(torch.addmm(values.float(), left, right).to(dtype))


def _values(weight: Tensor) -> Tensor:
    with whole(weight) as values:
        return values.float().clone()


def factors_of(added: Mapping[str, Product]) -> dict[str, Tensor]:
    """The factors by the names that owner weights have in their file."""
    return {name + end: part for name, pair in added.items() for end, part in zip((LEFT, RIGHT), pair, strict=True)}


def products_of(factors: Mapping[str, Tensor]) -> dict[str, Product]:
    """The products whose factors have these names; the reverse of ``factors_of``."""
    names = [name.removesuffix(LEFT) for name in factors if name.endswith(LEFT)]
    return {name: Product(factors[name + LEFT], factors[name + RIGHT]) for name in names}
