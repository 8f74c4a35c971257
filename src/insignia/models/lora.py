"""Low-rank adapters on all linear layers, through PEFT: for the owner's marking and for a user's fine-tuning alike."""

import warnings
from typing import cast

from peft import LoraConfig, PeftModel, get_peft_model
from transformers import PreTrainedModel

__all__ = ["merged", "with_lora"]


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
