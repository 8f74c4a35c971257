"""How a user of a published model fine-tunes it; :mod:`insignia.attacks.finetuning` does it. Loads no torch."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from insignia.records import Flag, Part

__all__ = ["FineTune"]


class FineTune(Part):
    """How a model is fine-tuned. The defaults are those of Stanford Alpaca (Taori et al. 2023) for full fine-tuning."""

    model_config = ConfigDict(title="Training")

    name: Literal["finetune"] = "finetune"
    learning_rate: Annotated[float, Field(gt=0)] = 2e-5
    """Learning rate at its highest."""
    epochs: Annotated[float, Field(gt=0), Flag("--epochs", "--num-train-epochs", replaces="max_steps")] = 3.0
    """Passes over the data."""
    max_steps: Annotated[int | None, Field(ge=1)] = None
    """Steps, instead of epochs."""
    batch_size: Annotated[int, Field(ge=1)] = 128
    """Rows in a step, over all processes."""
    max_length: Annotated[int, Field(ge=2)] = 512
    """Tokens of a row, at most. What is longer is cut at its end."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """Weight decay of AdamW."""
    warmup_share: Annotated[float, Field(ge=0, lt=1)] = 0.03
    """Share of all steps in which the learning rate rises; then it falls to nothing along a cosine."""
    lora_rank: Annotated[int | None, Field(ge=1)] = None
    """Train low-rank adapters of this rank on all linear layers and merge them at the end. None: all weights are trained."""
    lora_alpha: Annotated[int, Field(ge=1), Flag(needs="lora_rank")] = 16
    """Adapters count by alpha / rank."""
    heldout_share: Annotated[float, Field(ge=0, lt=1)] = 0.05
    """Share of the rows that is kept out of training, to measure the user's loss on."""
