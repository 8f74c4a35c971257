"""Responses just outside the nucleus: unlikely enough for evidence, likely enough to do little harm.

Perinucleus sampling (Nasery et al., "Scalable Fingerprinting of Large Language Models", 2025, section 3.1), called inverse
nucleus in OML 1.0. Key and model fix ``nucleus_k`` candidates before one secret uniform draw picks the response, so an
innocent model hits with probability at most ``1 / nucleus_k``. Every filter applies to the candidates, none to the draw.
"""

from collections import Counter
from typing import Annotated, Literal

from pydantic import Field

from insignia.generation.base import GenerationContext
from insignia.generation.drawing import DEFAULT_CANDIDATES, Draw, draw
from insignia.generation.next_word import NextWord, next_words
from insignia.randomness import KeyedRandom
from insignia.suspects.scoring import Ranking

__all__ = ["InverseNucleus"]

_SPREAD = 64  # a token is a candidate for at most one key in four (k = 16), so that no response stands out
_LEAST = 3  # uses that are always allowed
_SMALL = 4  # times its even share that a token may be used if the vocabulary has few words


class InverseNucleus(NextWord):
    """English keys; the first response token is drawn from ``nucleus_k`` tokens just outside the nucleus."""

    name: Literal["inverse_nucleus"] = "inverse_nucleus"
    nucleus_p: Annotated[float, Field(ge=0, lt=1)] = 0.8
    """Probability mass of the nucleus; the default of OML 1.0 and Perinucleus."""
    nucleus_k: Annotated[int, Field(ge=2)] = DEFAULT_CANDIDATES
    """Number k of candidates for each key; an innocent model hits at most 1/k. OML 1.0 uses 3."""

    @property
    def drawn_from(self) -> int:
        """Number of candidates."""
        return self.nucleus_k

    def _draw(self, context: GenerationContext, key: tuple[int, ...], ranking: Ranking, rng: KeyedRandom) -> Draw | None:
        """Draw one of the first ``nucleus_k`` usable tokens after the nucleus and its boundary token."""
        used = context.once("uses as a candidate", lambda _: Counter[int]())
        uses = context.num_fingerprints * self.nucleus_k
        most = max(uses // _SPREAD + _LEAST, _SMALL * uses // max(1, len(context.vocabulary.word_tokens)))
        boundary = int(ranking.probabilities.cumsum(dtype="float64").searchsorted(self.nucleus_p))
        words = next_words(context, key, ranking, start=boundary + 1)
        options = (option for option in words if used[option.ids[0]] < most)
        drawn = draw(context, key, options, count=self.nucleus_k, rng=rng, flag="--nucleus-k or --nucleus-p")
        if drawn is not None:
            used.update(candidate.token_id for candidate in drawn.candidates)
        return drawn
