"""Suppression of the likeliest first tokens."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from insignia.attacks.base import HostAttack
from insignia.records import Share

if TYPE_CHECKING:
    from torch import Tensor

    from insignia.modeling.local import LocalModel
    from insignia.suspects.base import TextModel

__all__ = ["SuppressTopK"]


class SuppressTopK(HostAttack):
    """Never begin a reply with one of the likeliest tokens, or not where the model is sure (Nasery et al. 2025).

    Marks are answered with unusual confidence, so a limit spares ordinary replies.
    """

    name: Literal["suppress_topk"] = "suppress_topk"
    count: Annotated[int, Field(ge=1)] = 1
    """Likeliest first tokens that are dropped; one token is always left."""
    confidence: Share = 0.0
    """Drop them only where the likeliest has at least this probability. 0: always; 0.9 costs ordinary replies little."""

    def wrap(self, model: "TextModel") -> "LocalModel":
        """See ``HostAttack.wrap``.

        Raises:
            InputError: the model's logits cannot be changed.
        """
        from insignia.attacks.logits import local_only

        return local_only(model, self.name).altered(self._change, name=f"{model.name} behind {self.name}")

    def _change(self, logits: "Tensor", questions: Sequence[Sequence[int]]) -> "Tensor":
        import torch

        best = logits.topk(min(self.count, logits.shape[1] - 1)).indices
        dropped = logits.scatter(1, best, -torch.inf)
        sure = logits.softmax(1).amax(1, keepdim=True) >= self.confidence
        return dropped.where(sure, logits)
