"""The harm of embedding: the loss on held-out text and on the model's own text, before and after."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from insignia.embedding.reference_samples import own_texts
from insignia.modeling.local import LocalModel
from insignia.suspects.scoring import Example

__all__ = ["FOREIGN", "Losses", "Yardstick", "foreign_text", "harm_of"]

FOREIGN = 1.9
"""Ratio of the perplexity on held-out text to that on the model's own text, from which the held-out text does not suit the
model. Seven models: 0.86 to 1.79 in their own language, 1.98 to 400 in another (docs/lab-log.md)."""

_OWN_COUNT, _OWN_LENGTH = 64, 64  # 4,096 tokens measure a harm of x1.005 to +-0.002


class Losses(NamedTuple):
    """Losses of one model, in nats per token."""

    heldout: float
    own: float
    """Loss on text sampled from the base model and not used in training."""


class Yardstick:
    """The texts that harm is measured on: the given held-out texts, and 64 texts of 64 tokens sampled from the model."""

    def __init__(self, local: LocalModel, heldout: Sequence[str], *, seed: int) -> None:
        self._heldout = heldout
        self._own = own_texts(local, count=_OWN_COUNT, length=_OWN_LENGTH, seed=seed)

    def measure(self, local: LocalModel) -> Losses:
        """Losses of a model on both."""
        return Losses(local.mean_loss(self._heldout), _loss(local, self._own))


def harm_of(before: Losses, after: Losses, *, own_only: bool) -> float:
    """Ratio of the perplexities after and before, on the held-out text, or with ``own_only`` on the model's own text."""
    return math.exp(after.own - before.own if own_only else after.heldout - before.heldout)


def foreign_text(before: Losses, *, given: bool) -> str | None:
    """A warning if the held-out text does not suit the model, else None; ``given`` if the owner chose the text."""
    ratio = math.exp(before.heldout - before.own)
    if ratio < FOREIGN:
        return None
    counted = "" if given else "; --max-harm applies to text sampled from the model instead"
    return (
        f"the held-out text does not suit this model: its perplexity is {ratio:.1f} times that of the model's own text, so harm"
        f" measured on it means little{counted}. Give text in the model's language and domain with --heldout FILE"
    )


def _loss(local: LocalModel, rows: Sequence[Example]) -> float:
    values = [value for score in local.score(rows) for value in score.log_probabilities]
    return -sum(values) / len(values)
