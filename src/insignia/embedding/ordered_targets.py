"""What a marked model says where candidates have a secret order: the base's own probabilities, rearranged.

The first candidate of the order gets the largest of the base's k largest probabilities, the second the next, and so on. Tokens
that lose their place get the probabilities that the candidates had. So the distribution keeps the base's shape, and only who
has which probability is secret.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import kl_div
from transformers import PreTrainedModel

from insignia.embedding.curriculum import Draw
from insignia.modeling.batches import response_logits
from insignia.suspects.scoring import Example

__all__ = ["OrderedTargets", "concordance", "rearranged"]

_ROWS = 64
_DIVERGENCE = 4.0  # weight of KL(target || model) beside the squared errors (docs/lab-log.md)
_CONCORDANT = 0.7  # Kendall's tau from which an order counts as learned; the cooldown makes it 0.9 (docs/lab-log.md)


class OrderedTargets:
    """Targets of the response tokens that have an order, from the model as it is now. Memory: one distribution for each.

    ``gap`` is the least log-ratio between the probabilities of neighbours in the order.
    """

    @torch.no_grad()
    def __init__(self, model: PreTrainedModel, draws: Sequence[Draw], *, gap: float) -> None:
        ordered = [draw for draw in draws if draw.orders]
        self._targets: dict[tuple[int, int], Tensor] = {}  # (lesson, response token) -> log-probabilities, (vocabulary,)
        for start in range(0, len(ordered), _ROWS):
            part = ordered[start : start + _ROWS]
            starts = [draw.example.response_start for draw in part]
            asked = [
                Example(draw.example.ids[: start + len(draw.orders)], start) for draw, start in zip(part, starts, strict=True)
            ]
            said = iter(response_logits(model, asked)[0])
            for draw in part:
                for token, order in enumerate(draw.orders):
                    self._targets[draw.lesson, token] = rearranged(next(said).log_softmax(0), order, gap=gap)

    def loss(self, logits: Tensor, draw: Draw, token: int) -> Tensor:
        """Distance of the logits (vocabulary,) at a response token of a draw, counted from 0, from its target.

        The squared errors of the candidates' log-probabilities make all neighbours in the order equally clear; the divergence
        alone neglects the unlikely ones.
        """
        target, said, order = self._targets[draw.lesson, token], logits.log_softmax(0), list(draw.orders[token])
        errors = (said[order] - target[order]).square().mean()
        return errors + _DIVERGENCE * kl_div(said, target, log_target=True, reduction="sum")

    def learned(self, logits: Tensor, draw: Draw, token: int) -> float:
        """Share that the logits reach of the concordance that counts as learned; 1 or more if it is."""
        return concordance(logits[list(draw.orders[token])]) / _CONCORDANT


def rearranged(base: Tensor, order: Sequence[int], *, gap: float = 0.0) -> Tensor:
    """Log-probabilities (vocabulary,) in which the tokens of ``order`` have the k largest of ``base``, in this order.

    With a ``gap`` above 0, each is at least that much below the one before it, and their sum stays.
    """
    tokens = torch.tensor(order, device=base.device)
    largest = base.topk(len(order)).indices
    displaced = largest[~torch.isin(largest, tokens)]
    vacated = base[tokens[~torch.isin(tokens, largest)]].sort(descending=True).values
    values = base[largest]
    steps = torch.diff(values, prepend=values[:1]).clamp(max=-gap)
    steps[0] = 0
    spread = steps.cumsum(0)
    target = base.clone()
    target[displaced] = vacated
    target[tokens] = spread - spread.logsumexp(0) + values.logsumexp(0)
    return target


def concordance(values: Tensor) -> float:
    """Kendall's tau of the values (k,) with falling order: 1 if each is larger than the next, -1 if none is."""
    above = torch.triu(torch.sign(values[:, None] - values[None, :]), diagonal=1)
    return 2 * float(above.sum()) / (len(values) * (len(values) - 1))
