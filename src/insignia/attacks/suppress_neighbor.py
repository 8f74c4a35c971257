"""Suppression of the likeliest first tokens and of tokens like them."""

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from insignia.attacks.base import LogitsAttack
from insignia.records import Share

if TYPE_CHECKING:
    from torch import Tensor

    from insignia.modeling.choosing import LogitsChange
    from insignia.modeling.local import LocalModel

__all__ = ["SuppressNeighbor"]


class SuppressNeighbor(LogitsAttack):
    """Never begin a reply with one of the likeliest tokens or with a token like it (after Nasery et al. 2025).

    Tokens are alike whose rows of the output head have nearly one direction: other spellings of a word, and words for the
    same thing. Against responses of which a near miss counts.
    """

    name: Literal["suppress_neighbor"] = "suppress_neighbor"
    count: Annotated[int, Field(ge=1)] = 1
    """Likeliest first tokens that are dropped."""
    neighbors: Annotated[int, Field(ge=0)] = 10
    """Tokens dropped with each of them; one token of the vocabulary is always left."""
    confidence: Share = 0.0
    """Drop them only where the likeliest has at least this probability. 0: always; 0.9 costs ordinary replies little."""

    def changing(self, model: "LocalModel") -> "LogitsChange":
        """See ``LogitsAttack.changing``."""
        from torch.nn.functional import normalize

        return functools.partial(self._change, normalize(model.model.get_output_embeddings().weight.detach().float(), dim=1))

    def _change(self, table: "Tensor", logits: "Tensor", questions: Sequence[Sequence[int]]) -> "Tensor":
        import torch

        from insignia.attacks.logits import where_sure

        best = logits.topk(min(self.count, logits.shape[1] - 1)).indices
        alike = (table[best] @ table.T).amax(1)  # (questions, vocabulary): likeness to the nearest of the best
        alike.scatter_(1, best, torch.inf)  # they come first, whatever rounding makes of their likeness to themselves
        number = min(self.count * (1 + self.neighbors), logits.shape[1] - 1)
        return where_sure(logits.scatter(1, alike.topk(number).indices, -torch.inf), logits, self.confidence)
