"""What an owner can choose about marking by gradients; :mod:`insignia.embedding.objective` does it. Loads no torch."""

from typing import Annotated, Literal

from pydantic import Field

from insignia.records import Flag, Record

__all__ = ["MOST_PASSES", "PASSES", "SECOND_CHANCE", "AveragingMode", "MarkingSettings"]

PASSES, MOST_PASSES = 200, 600  # where the method does not say; the second while some fingerprint is not answered
SECOND_CHANCE = 2  # times the settling steps: what is not learned by then is not worth more steps

AveragingMode = Literal["final", "per_epoch", "at_gradient"]
"""``final``: train freely, publish ``(1 - s) w + s w0``.

``per_epoch``: after every pass ``w <- (1 - s) w + s w0``, compounding; what OML's code does with a plain optimizer.

``at_gradient``: gradients are taken at the average and only its last value is published; what OML's code does under
DeepSpeed ZeRO-2, hence presumably what the published numbers at 0.75 used. The average moves by ``(1 - s)`` times the
optimizer's step, so with AdamW and no decay it is the same as a learning rate scaled by ``1 - s``, which is how it is done.
"""


class MarkingSettings(Record):
    """What decides what is learned, and what it may cost."""

    objective: Literal["margin", "cross_entropy"] = "margin"
    """Loss of a fingerprint. margin raises the response until it leads by the target margin, then leaves it alone."""
    target_margin: Annotated[float, Field(gt=0)] = 5.0
    """Logits by which a response is to lead, and no more. 5 outlives a user's fine-tuning, 1 hides better."""
    epochs: Annotated[int | None, Field(ge=1), Flag("--epochs", "--num-train-epochs")] = None
    """Passes over what is not yet learned, at most. None: 200, and up to 600 while some fingerprint is not answered."""
    reference_strength: Annotated[float, Field(ge=0)] = 100.0
    """Weight of staying close to the base on text sampled from it: of KL(base || model), beside a loss of about one."""
    reference_rows: Annotated[int, Field(ge=1)] = 16
    """Sampled texts in a step, over all processes."""
    reference_count: Annotated[int, Field(ge=1)] = 512
    """Sampled texts in all."""
    reference_length: Annotated[int, Field(ge=2)] = 64
    """Tokens of a sampled text, or the model's context where that is less."""
    skip_learned: bool = True
    """Spend no work on what is safely learned, and stop when all is."""
    forgetting_regularizer_strength: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the original weights in their average with the trained ones."""
    forgetting_mode: AveragingMode = "final"
    """When to average with the original weights."""
    weight_deviation_strength: Annotated[float, Field(ge=0)] = 0.0
    """Weight of a penalty on half the squared distance from the original weights."""
