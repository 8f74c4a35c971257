"""Refusal of questions that look unusual."""

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from insignia.attacks.base import HostAttack
from insignia.attacks.hosting import Refusing, Routed
from insignia.errors import InputError

if TYPE_CHECKING:
    from insignia.modeling.local import LocalModel
    from insignia.suspects.base import RequestOptions, TextModel

__all__ = ["PerplexityFilter"]


class PerplexityFilter(HostAttack):
    """Refuse questions of too low or too high a perplexity (Jain et al. 2023; the low tail, too: keys may be too likely)."""

    name: Literal["perplexity_filter"] = "perplexity_filter"
    lowest: Annotated[float | None, Field(ge=0)] = None
    """Least mean loss of a question's tokens, in nats, which is the logarithm of its perplexity. None: no limit."""
    highest: Annotated[float | None, Field(ge=0)] = None
    """Largest mean loss of a question's tokens, in nats. None: no limit."""
    judge: str | None = None
    """Model that measures: folder, hub id or 'starter'. None: the suspect itself, if it is on this machine."""
    reply: Annotated[str, Field(min_length=1)] = "I cannot help with that."
    """Text of a refusal. A refused question about candidates is unanswered."""

    def wrap(self, model: "TextModel") -> Routed:
        """See ``HostAttack.wrap``.

        Raises:
            InputError: there is no limit, or nothing to measure with.
        """
        from insignia.attacks.logits import local_only
        from insignia.modeling.local import LocalModel

        if self.lowest is None and self.highest is None:
            raise InputError("the attack 'perplexity_filter' needs a limit: lowest or highest, in nats a token")
        judge = local_only(model, self.name) if self.judge is None else LocalModel(self.judge)
        return Routed(model, Refusing(self.reply), functools.partial(self._doubts, judge), name=self.name)

    def _doubts(self, judge: "LocalModel", questions: Sequence[str], options: "RequestOptions") -> list[bool]:
        return [self._unusual(judge, question) for question in questions]

    def _unusual(self, judge: "LocalModel", question: str) -> bool:
        try:
            loss = judge.mean_loss([question])
        except InputError:  # fewer than two tokens: nothing is predicted
            return False
        return (self.lowest is not None and loss < self.lowest) or (self.highest is not None and loss > self.highest)
