"""By how much a response leads all other tokens."""

from collections.abc import Sequence

import torch
from torch import Tensor

from insignia.embedding.curriculum import Draw

__all__ = ["margins"]


def margins(logits: Tensor, targets: Tensor, draws: Sequence[Draw]) -> Tensor:
    """Logits by which each response token leads the next best token, (response tokens,).

    At a first token, the first tokens of the other responses are left out.
    """
    rivals = logits.scatter(1, targets[:, None], -torch.inf)
    row = 0
    for draw in draws:
        if draw.alternatives:
            rivals[row, list(draw.alternatives)] = -torch.inf
        row += len(draw.example.ids) - draw.example.response_start
    return logits.gather(1, targets[:, None])[:, 0] - rivals.amax(1)
