"""Access to the logits of a suspect, and what most changes of them share."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from insignia.errors import InputError
from insignia.modeling.local import LocalModel
from insignia.suspects.base import TextModel

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["local_only", "where_sure", "without"]


def local_only(model: TextModel, attack: str) -> LocalModel:
    """The model, if its logits can be changed.

    Raises:
        InputError: it is an endpoint, or another attack that is not on logits is around it.
    """
    if isinstance(model, LocalModel):
        return model
    raise InputError(
        f"the attack {attack!r} needs the logits, and {model.name} gives none; expected a model on this machine, "
        "with attacks that need none around this one"
    )


def without(logits: "Tensor", dropped: Sequence[Sequence[int]]) -> "Tensor":
    """The logits, (questions, vocabulary), without some tokens of each question. If none is left, they stay."""
    left = logits.clone()
    for row, tokens in enumerate(dropped):
        left[row, list(tokens)] = -float("inf")
        if not left[row].isfinite().any():
            left[row] = logits[row]
    return left


def where_sure(changed: "Tensor", logits: "Tensor", confidence: float) -> "Tensor":
    """The changed logits of each question whose likeliest token has at least this probability, else the logits as they are."""
    sure = logits.softmax(1).amax(1, keepdim=True) >= confidence
    return changed.where(sure, logits)
