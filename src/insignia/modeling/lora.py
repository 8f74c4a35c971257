"""Low-rank adapters on all linear layers, through PEFT: for the owner's marking and for a user's fine-tuning alike."""

import contextlib
import copy
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple, cast

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora import LoraLayer
from torch import Tensor
from transformers import PreTrainedModel

__all__ = ["Product", "frozen", "merged", "products", "unloaded", "with_lora"]

_NAME = "default"  # PEFT's, of adapters that nobody named
_PREFIX = "base_model.model."


class Product(NamedTuple):
    """``left @ right``, which adapters add to a weight; fp32."""

    left: Tensor
    """(rows, rank)"""
    right: Tensor
    """(rank, columns)"""


def with_lora(model: PreTrainedModel, *, rank: int, alpha: int) -> PreTrainedModel:
    """The model with trainable adapters, everything else frozen; it answers as before until they are trained."""
    config = LoraConfig(r=rank, lora_alpha=alpha, target_modules="all-linear", task_type="CAUSAL_LM")
    with warnings.catch_warnings():  # PEFT 0.21 asks transformers 5.23 for an attribute that is deprecated
        warnings.filterwarnings("ignore", message="`is_gradient_checkpointing`", category=FutureWarning)
        warnings.filterwarnings("ignore", message="fan_in_fan_out", category=UserWarning)  # GPT-2's: PEFT sets it right itself
        return cast(PreTrainedModel, get_peft_model(model, config))


def merged(model: PreTrainedModel) -> PreTrainedModel:
    """The plain model with its adapters added to its weights."""
    return cast(PreTrainedModel, cast(PeftModel, model).merge_and_unload())


def unloaded(model: PreTrainedModel) -> PreTrainedModel:
    """The plain model without its adapters."""
    return cast(PreTrainedModel, cast(PeftModel, model).unload())


def frozen(model: PreTrainedModel) -> Callable[[], contextlib.AbstractContextManager[PreTrainedModel]]:
    """The model as it is before training, to be entered at any time: a copy, or, where adapters are trained, without them."""
    maybe_wrapped: Any = model  # no subclass, as far as types go
    if isinstance(maybe_wrapped, PeftModel):
        return partial(_without_adapters, maybe_wrapped)
    kept = copy.deepcopy(model).eval().requires_grad_(requires_grad=False)
    return lambda: contextlib.nullcontext(kept)


@contextlib.contextmanager
def _without_adapters(model: PeftModel) -> Iterator[PreTrainedModel]:
    training = model.training
    with model.disable_adapter():
        try:
            yield cast(PreTrainedModel, model.eval())
        finally:
            model.train(training)


@torch.no_grad()
def products(model: PreTrainedModel) -> dict[str, Product]:
    """Name of a weight of the plain model -> what its adapter adds to it."""
    found = {}
    for name, layer in model.named_modules():
        if isinstance(layer, LoraLayer):
            down, up = (getattr(layer, part)[_NAME].weight.float() for part in ("lora_A", "lora_B"))
            up = up * layer.scaling[_NAME]
            stored_by_column = getattr(layer, "fan_in_fan_out", False)  # GPT-2's layers
            found[f"{name.removeprefix(_PREFIX)}.weight"] = Product(down.T, up.T) if stored_by_column else Product(up, down)
    return found
