"""Settings of fine-tuning, without torch; :mod:`insignia.attacks.finetuning` runs it."""

from typing import Annotated

from pydantic import ConfigDict, Field

from insignia.records import Flag, Part

__all__ = ["FineTuneSettings"]


class FineTuneSettings(Part):
    """Settings of a fine-tuning run. The defaults are those of Stanford Alpaca (Taori et al. 2023)."""

    model_config = ConfigDict(title="Training")

    name: str = "finetune"
    learning_rate: Annotated[float, Field(gt=0)] = 2e-5
    """Learning rate of AdamW."""
    epochs: Annotated[float, Field(gt=0), Flag("--epochs", "--num-train-epochs", replaces="max_steps")] = 3.0
    """Passes over the training rows."""
    max_steps: Annotated[int | None, Field(ge=1)] = None
    """Number of optimizer steps. None: as many as epochs takes."""
    batch_size: Annotated[int, Field(ge=1)] = 128
    """Rows per step, over all processes."""
    max_length: Annotated[int, Field(ge=2)] = 512
    """Maximum length of a row, in tokens; longer rows are truncated."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """Weight decay of AdamW."""
    warmup_share: Annotated[float, Field(ge=0, lt=1)] = 0.03
    """Share of the steps that warm up the learning rate. Afterwards it falls to zero along a cosine."""
    lora_rank: Annotated[int | None, Field(ge=1)] = None
    """Rank of LoRA adapters on all linear layers, which are merged at the end. None: train all weights."""
    lora_alpha: Annotated[int, Field(ge=1), Flag(needs="lora_rank")] = 16
    """Scale of the adapters: their product is multiplied by lora_alpha / lora_rank."""
    heldout_share: Annotated[float, Field(ge=0, lt=1)] = 0.05
    """Share of the rows held out to measure the loss."""
