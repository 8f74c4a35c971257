"""Shuffling of the likeliest first tokens."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from insignia.attacks.base import LogitsAttack
from insignia.randomness import KeyedRandom

if TYPE_CHECKING:
    from torch import Tensor

    from insignia.modeling.choosing import LogitsChange
    from insignia.modeling.local import LocalModel

__all__ = ["ShuffleRanks"]


class ShuffleRanks(LogitsAttack):
    """Let the likeliest first tokens exchange their probabilities, against marks in the order of candidates."""

    name: Literal["shuffle_ranks"] = "shuffle_ranks"
    count: Annotated[int, Field(ge=2)] = 16
    """Likeliest first tokens that are shuffled."""
    keep: Annotated[int, Field(ge=0)] = 0
    """Likeliest of them that stay in place. With 1, replies at temperature 0 stay as they are."""
    seed: int = 0
    """Seed of the orders. A question has one order, however often it is asked."""

    def changing(self, model: "LocalModel") -> "LogitsChange":
        """See ``LogitsAttack.changing``."""
        return self._change

    def _change(self, logits: "Tensor", questions: Sequence[Sequence[int]]) -> "Tensor":
        import torch

        best = logits.topk(min(self.count, logits.shape[1]))
        tokens, values = best.indices[:, self.keep :], best.values[:, self.keep :]
        order = torch.tensor([self._order(question, tokens.shape[1]) for question in questions], device=logits.device)
        return logits.scatter(1, tokens, values.gather(1, order.view(tokens.shape).long()))

    def _order(self, question: Sequence[int], count: int) -> list[int]:
        chance = KeyedRandom(b"shuffled ranks").derive(self.seed, *question)
        return sorted(range(count), key=lambda _: chance.uniform())
