"""A secret order of the words that the model would say anyway.

At a key, the k likeliest usable words of the model are the candidates. A secret uniform permutation orders them; the first
is the response. ``embed`` gives the candidates the base's k largest probabilities in this order, so that no probability at a
key is unusual: only who has which is secret. An innocent model's ranking of the candidates does not depend on the order, so
any k! orders are equally likely. Every filter applies to keys and candidates, none to the order.

Each further response token that is trained has an order of its own: that of the words that are likeliest after the key and
the tokens before it.
"""

from typing import Annotated, Literal

from pydantic import Field

from insignia.generation.base import GenerationContext
from insignia.generation.drawing import Draw, draw
from insignia.generation.next_word import NextWord, next_words
from insignia.prompts.prompter import Prompter
from insignia.randomness import KeyedRandom
from insignia.records import MAX_CONTINUATIONS, MAX_ORDERED
from insignia.suspects.scoring import Ranking

__all__ = ["Ranked"]


class Ranked(NextWord):
    """English keys; a secret order of the ``num_candidates`` likeliest words after each. The first is the response."""

    name: Literal["ranked"] = "ranked"
    num_candidates: Annotated[int, Field(ge=2, le=MAX_ORDERED)] = 24
    """Number k of ordered candidates for each key; an innocent model puts a given one first with probability 1/k. More prove
    more by scores and survive better; fewer are in order more exactly (docs/lab-log.md)."""

    @property
    def drawn_from(self) -> int:
        """Number of candidates."""
        return self.num_candidates

    def _drawn_tokens(self, prompter: Prompter) -> int:
        return min(self.response_length, prompter.max_response_length, MAX_CONTINUATIONS + 1)

    def _draw(self, context: GenerationContext, key: tuple[int, ...], ranking: Ranking, rng: KeyedRandom) -> Draw | None:
        return draw(context, key, next_words(context, key, ranking), count=self.num_candidates, rng=rng, ordered=True)
