"""What a mark costs: how much worse the model predicts held-out text, and text that it wrote itself."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from insignia.embedding.reference_samples import own_texts
from insignia.modeling.local import LocalModel
from insignia.suspects.scoring import Example

__all__ = ["FOREIGN", "Losses", "Yardstick", "foreign_text", "harm_of"]

FOREIGN = 1.9
"""Perplexity of held-out text over that of the model's own, from which the text is of another kind than the model's. Of seven
models, text of their own kind was at 0.86 to 1.79, another language at 1.98 to 400 (docs/lab-log.md)."""

_OWN_COUNT, _OWN_LENGTH = 64, 64  # 4,000 tokens: a harm of x1.005 is known to +-0.002


class Losses(NamedTuple):
    """Nats a token of one model."""

    heldout: float
    own: float
    """On text that the base wrote, kept out of training."""


class Yardstick:
    """Texts to measure harm on: the held-out ones that were given, and some that the model writes itself as it is now.

    Cost: the sampling of 64 texts of 64 tokens.
    """

    def __init__(self, local: LocalModel, heldout: Sequence[str], *, seed: int) -> None:
        self._heldout = heldout
        self._own = own_texts(local, count=_OWN_COUNT, length=_OWN_LENGTH, seed=seed)

    def measure(self, local: LocalModel) -> Losses:
        """How well a model predicts both."""
        return Losses(local.mean_loss(self._heldout), _loss(local, self._own))


def harm_of(before: Losses, after: Losses, *, own_only: bool) -> float:
    """Perplexity after marking over that before, on the held-out text, or on the model's own where only that says something."""
    return math.exp(after.own - before.own if own_only else after.heldout - before.heldout)


def foreign_text(before: Losses, *, given: bool) -> str | None:
    """A sentence for the owner when the held-out text is not of the model's kind; ``given`` when the owner chose it."""
    ratio = math.exp(before.heldout - before.own)
    if ratio < FOREIGN:
        return None
    counted = "" if given else "; --max-harm is held against text that the model wrote"
    return (
        f"the held-out text is not of this model's kind: its perplexity is {ratio:.1f} times that of text that the model wrote,"
        f" so harm measured on it means little{counted}. Give text of its own language and domain with --heldout FILE"
    )


def _loss(local: LocalModel, rows: Sequence[Example]) -> float:
    values = [value for score in local.score(rows) for value in score.log_probabilities]
    return -sum(values) / len(values)
