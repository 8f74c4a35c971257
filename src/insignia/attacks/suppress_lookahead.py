"""Suppression of what the model is about to say."""

import functools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from insignia.attacks.base import LogitsAttack
from insignia.records import Share

if TYPE_CHECKING:
    from torch import Tensor

    from insignia.modeling.choosing import LogitsChange
    from insignia.modeling.local import LocalModel

__all__ = ["SuppressLookahead"]


class SuppressLookahead(LogitsAttack):
    """Write a draft of each reply, and do not begin the real one with any token of it (after Nasery et al. 2025).

    With a confidence only drafts count of which the model was sure throughout, as of a text that it knows by heart. Ordinary
    replies are then spared more than by ``suppress_topk``, which looks at the first token alone.
    """

    name: Literal["suppress_lookahead"] = "suppress_lookahead"
    length: Annotated[int, Field(ge=1)] = 3
    """Tokens of the draft, each the likeliest."""
    confidence: Share = 0.0
    """Probability that each token of the draft must have. 0: every draft counts."""

    def changing(self, model: "LocalModel") -> "LogitsChange":
        """See ``LogitsAttack.changing``."""
        return functools.partial(self._change, model)

    def _change(self, local: "LocalModel", logits: "Tensor", questions: Sequence[Sequence[int]]) -> "Tensor":
        from insignia.attacks.logits import without
        from insignia.randomness import KeyedRandom
        from insignia.suspects.scoring import Example

        rngs = [KeyedRandom(b"drafts") for _ in questions]  # not drawn from at temperature 0
        drafts = local.sample(questions, rngs, max_new_tokens=self.length, temperature=0, forbidden=())
        rows = [Example((*question, *draft), len(question)) for question, draft in zip(questions, drafts, strict=True)]
        least = (math.exp(min(score.log_probabilities)) for score in local.score(rows))
        pairs = zip(drafts, least, strict=True)
        return without(logits, [draft if probability >= self.confidence else () for draft, probability in pairs])
