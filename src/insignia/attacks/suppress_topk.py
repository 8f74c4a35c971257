"""Suppression of the likeliest first tokens."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from insignia.attacks.base import LogitsAttack
from insignia.records import Share

if TYPE_CHECKING:
    from torch import Tensor

    from insignia.modeling.choosing import LogitsChange
    from insignia.modeling.local import LocalModel

__all__ = ["SuppressTopK"]


class SuppressTopK(LogitsAttack):
    """Never begin a reply with one of the likeliest tokens, or not where the model is sure (Nasery et al. 2025).

    Marks are answered with unusual confidence, so a limit spares ordinary replies.
    """

    name: Literal["suppress_topk"] = "suppress_topk"
    count: Annotated[int, Field(ge=1)] = 1
    """Likeliest first tokens that are dropped; one token is always left."""
    confidence: Share = 0.0
    """Drop them only where the likeliest has at least this probability. 0: always; 0.9 costs ordinary replies little."""

    def changing(self, model: "LocalModel") -> "LogitsChange":
        """See ``LogitsAttack.changing``."""
        return self._change

    def _change(self, logits: "Tensor", questions: Sequence[Sequence[int]]) -> "Tensor":
        import torch

        from insignia.attacks.logits import where_sure

        best = logits.topk(min(self.count, logits.shape[1] - 1)).indices
        return where_sure(logits.scatter(1, best, -torch.inf), logits, self.confidence)
