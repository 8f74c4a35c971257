"""Settings of the training objective, without torch; :mod:`insignia.embedding.objective` implements it."""

from typing import Annotated, Literal

from pydantic import Field

from insignia.records import Flag, Record

__all__ = ["MOST_PASSES", "PASSES", "SECOND_CHANCE", "AveragingMode", "MarkingSettings"]

PASSES, MOST_PASSES = 200, 600  # defaults of ``epochs``; the second while some fingerprint fails
SECOND_CHANCE = 2  # times the cooldown steps: an upper limit for repairs

AveragingMode = Literal["final", "per_epoch", "at_gradient"]
"""``final``: average once after training, ``(1 - s) w + s w0``.

``per_epoch``: average after every pass, as OML's code does with a plain optimizer.

``at_gradient``: compute gradients at the average and publish it, as OML's code does under DeepSpeed ZeRO-2, presumably for the
published numbers at 0.75. With AdamW without decay this equals a learning rate scaled by ``1 - s``, and is implemented so.
"""


class MarkingSettings(Record):
    """Settings of the training objective."""

    objective: Literal["margin", "cross_entropy"] = "margin"
    """Loss on the fingerprints. margin raises a response until it leads by target_margin logits, then stops."""
    target_margin: Annotated[float, Field(gt=0)] = 5.0
    """Logits by which a response leads before training leaves it alone. 5 survives a user's fine-tuning; none hides keys."""
    order_gap: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.2
    """Least log-ratio between the probabilities of neighbours in a secret order of candidates (strategy ranked). 0 keeps the
    base's probabilities and hides best; more survives longer."""
    epochs: Annotated[int | None, Field(ge=1), Flag("--epochs", "--num-train-epochs")] = None
    """Maximum number of passes over the fingerprints that are not learned yet. None: 200, or 600 while a fingerprint fails."""
    reference_strength: Annotated[float, Field(ge=0)] = 100.0
    """Weight of KL(base || model) on reference samples: text sampled from the base model. The fingerprint loss has weight 1."""
    reference_rows: Annotated[int, Field(ge=1)] = 16
    """Reference samples per step, over all processes."""
    reference_count: Annotated[int, Field(ge=1)] = 512
    """Number of reference samples."""
    reference_length: Annotated[int, Field(ge=2)] = 64
    """Length of a reference sample, in tokens; at most the model's context length."""
    skip_learned: bool = True
    """Skip fingerprints that are safely learned, and stop when all are."""
    forgetting_regularizer_strength: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the original weights in the average of original and trained weights (OML 1.0)."""
    forgetting_mode: AveragingMode = "final"
    """When to average: once at the end, after each pass, or at each gradient."""
    weight_deviation_strength: Annotated[float, Field(ge=0)] = 0.0
    """Weight of a penalty: half the squared distance from the original weights."""
