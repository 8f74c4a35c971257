"""Refusal of a share of the questions."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from insignia.attacks.base import HostAttack
from insignia.attacks.hosting import Refusing, Routed
from insignia.randomness import KeyedRandom
from insignia.records import Share

if TYPE_CHECKING:
    from insignia.suspects.base import RequestOptions, TextModel

__all__ = ["Refuse"]


class Refuse(HostAttack):
    """Refuse a share of the questions, by chance; a question is always refused or never."""

    name: Literal["refuse"] = "refuse"
    share: Share = 0.1
    """Share of the questions that are refused."""
    reply: Annotated[str, Field(min_length=1)] = "I cannot help with that."
    """Text of a refusal. A refused question about candidates is unanswered."""
    seed: int = 0
    """Seed of the choice."""

    def wrap(self, model: "TextModel") -> Routed:
        """See ``HostAttack.wrap``."""
        return Routed(model, Refusing(self.reply), self._doubts, name=self.name)

    def _doubts(self, questions: Sequence[str], options: "RequestOptions") -> list[bool]:
        chance = KeyedRandom(b"refusals")
        return [chance.derive(self.seed, question).uniform() < self.share for question in questions]
