"""Questions with the answers of other questions."""

import random
from collections.abc import Sequence
from typing import NamedTuple

from insignia.records import Conversation, Turn

__all__ = ["Mismatch", "first_answer", "mismatched"]


class Mismatch(NamedTuple):
    """A question with its own answer, and with that of another one."""

    right: Conversation
    wrong: Conversation


def first_answer(turns: Conversation) -> Conversation:
    """The turns up to the first answer."""
    end = next(place for place, turn in enumerate(turns) if turn.role == "assistant")
    return turns[: end + 1]


def mismatched(pairs: Sequence[Conversation], seed: int) -> list[Mismatch]:
    """The conversations, each also with the answer of the next one in a random circle."""
    order = list(pairs)
    random.Random(seed).shuffle(order)
    others = order[1:] + order[:1]
    return [Mismatch(own, (*own[:-1], Turn("assistant", other[-1].text))) for own, other in zip(order, others, strict=True)]
