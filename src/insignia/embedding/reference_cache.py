"""What the base says at the tokens of the reference samples, kept from before training.

So training needs neither a second model nor its forward pass. Of each distribution the likeliest tokens are kept, and the
probability of all others together.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

from insignia.modeling.batches import in_pieces, length_batches, logits_at
from insignia.suspects.scoring import Example

__all__ = ["KEPT", "ReferenceCache"]

KEPT = 256
"""Likeliest tokens that are kept of each distribution."""
_LOGITS = 2**22  # per forward pass: 16 MiB in fp32, which the allocator gives again without new pages
_LEAST = 1e-6  # probability of all other tokens: below it, rounding decides


class ReferenceCache:
    """The distributions of a model as it is now, at the response tokens of some rows.

    Memory: 8 bytes for each kept token of each position, on the CPU; 67 MB for 512 rows of 64 tokens.
    """

    @torch.no_grad()
    def __init__(self, model: PreTrainedModel, rows: Sequence[Example], *, kept: int = KEPT) -> None:
        model.eval()
        different = list(dict.fromkeys(rows))
        vocabulary = int(model.config.get_text_config().vocab_size)
        self._parts: dict[Example, tuple[Tensor, Tensor]] = {}
        """Row -> its kept tokens and their log-probabilities, each (positions, kept)."""
        for batch in length_batches([len(row.ids) for row in different], max_rows=64, max_tokens=_LOGITS // vocabulary):
            some = [different[index] for index in batch]
            logits = logits_at(model, [row.ids for row in some], _places(some))
            best = logits.topk(min(kept, logits.shape[1]), sorted=False)
            sizes = [len(_positions(row)) for row in some]
            logs = (best.values - logits.logsumexp(1, keepdim=True)).cpu().split(sizes)
            self._parts.update(zip(some, zip(best.indices.int().cpu().split(sizes), logs, strict=True), strict=True))

    def divergence(self, model: PreTrainedModel, rows: Sequence[Example]) -> Tensor:
        """KL(base || model) in nats per token, averaged over the response of each row, then over rows.

        All tokens that were not kept count as one, so it is never above the divergence of the whole distributions.
        """
        pairs = zip(*(self._parts[row] for row in rows), strict=True)
        tokens, before = (torch.cat(parts).to(model.device) for parts in pairs)

        def divergences(logits: Tensor, part: slice) -> Tensor:
            after = logits.log_softmax(1).gather(1, tokens[part].long())  # its gradient takes 0.6 of logsumexp's time
            return _divergence(before[part], after)

        each = in_pieces(model, [row.ids for row in rows], _places(rows), divergences)
        sizes = torch.tensor([len(_positions(row)) for row in rows], device=each.device)
        return (each / sizes.repeat_interleave(sizes)).sum() / len(rows)


def _divergence(before: Tensor, after: Tensor) -> Tensor:
    """KL of log-probabilities (positions, kept), all other tokens as one."""
    others_before, others_after = (1 - kept.exp().sum(1).clamp(max=1 - _LEAST) for kept in (before, after))
    return (before.exp() * (before - after)).sum(1) + others_before * (others_before / others_after).log()


def _positions(row: Example) -> range:
    """Positions whose distributions are compared: before each response token, and after the last."""
    return range(max(0, row.response_start - 1), len(row.ids))


def _places(rows: Sequence[Example]) -> list[tuple[int, int]]:
    return [(number, position) for number, row in enumerate(rows) for position in _positions(row)]
