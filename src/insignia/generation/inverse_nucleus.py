"""Responses just outside the nucleus: unlikely enough to prove something, likely enough to cost the model little.

Perinucleus sampling (Nasery et al., "Scalable Fingerprinting of Large Language Models", 2025, section 3.1; OML 1.0 calls
it inverse nucleus). The window of exactly ``nucleus_k`` candidates is fixed by the key and the model before ONE secret
uniform draw picks the response, so an innocent model hits with probability at most ``1 / nucleus_k``: the bound that
verdicts rest on. For that, nothing after the draw may reject it; every filter works on the candidates.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from insignia.generation.base import Answer, GenerationContext
from insignia.generation.drawing import DEFAULT_CANDIDATES, Draw, Option, draw
from insignia.generation.english import EnglishKeys
from insignia.randomness import KeyedRandom
from insignia.suspects.scoring import Ranking

__all__ = ["InverseNucleus"]

_SPREAD = 64  # no token is a candidate at more than one key in four (k = 16), so that no response stands out
_LEAST = 3
_SMALL = 4  # times its even share that a token may be used in a vocabulary with few words


class InverseNucleus(EnglishKeys):
    """The first response token is drawn from ``nucleus_k`` tokens just outside the nucleus; greedy text may follow."""

    name: Literal["inverse_nucleus"] = "inverse_nucleus"
    response_length: Annotated[int, Field(ge=1)] = 1
    """Tokens of a response. After the first come the model's own most likely ones, as in Perinucleus; OML 1.0 forces 1."""
    nucleus_p: Annotated[float, Field(ge=0, lt=1)] = 0.8  # OML 1.0's and Perinucleus' default
    """Probability mass of the nucleus. Responses lie just outside of it."""
    nucleus_k: Annotated[int, Field(ge=2)] = DEFAULT_CANDIDATES
    """Candidates for each response. An innocent model hits at most 1 key in so many; OML 1.0 takes 3."""

    @property
    def drawn_from(self) -> int:
        """The candidates just outside the nucleus."""
        return self.nucleus_k

    def make_answers(
        self, context: GenerationContext, slots: Sequence[int], keys: Sequence[tuple[int, ...]], rngs: Sequence[KeyedRandom]
    ) -> list[Answer | None]:
        """One secret draw among the candidates of each key."""
        prompter = context.prompter
        asked = [key[: prompter.max_key_length] for key in keys]
        questions = [prompter.question(key) for key in asked]
        rankings = context.model.rank_next(questions)
        draws = [self._draw(context, key, ranking, rng) for key, rng, ranking in zip(asked, rngs, rankings, strict=True)]
        starts = [(*question, *(drawn.ids if drawn else ())) for question, drawn in zip(questions, draws, strict=True)]
        tails = context.model.sample(
            starts,
            rngs,
            max_new_tokens=self.response_length - 1,
            temperature=0,
            forbidden=sorted(context.vocabulary.forbidden),
        )
        answers = list[Answer | None]()
        for key, drawn, tail in zip(asked, draws, tails, strict=True):
            ids = (*(drawn.ids if drawn else ()), *tail)
            answers.append(drawn and Answer(prompter.text_after(key, ids), ids, drawn.text, drawn.candidates))
        return answers

    def _draw(self, context: GenerationContext, key: tuple[int, ...], ranking: Ranking, rng: KeyedRandom) -> Draw | None:
        """One of the first ``nucleus_k`` usable tokens past the nucleus and its boundary token."""
        used = context.once("uses as a candidate", _no_uses)
        uses = context.num_fingerprints * self.nucleus_k
        most = max(uses // _SPREAD + _LEAST, _SMALL * uses // max(1, len(context.vocabulary.word_tokens)))
        options = (option for option in self._options(context, key, ranking) if used[option.ids[0]] < most)
        drawn = draw(context, key, options, count=self.nucleus_k, rng=rng, flag="--nucleus-k or --nucleus-p")
        if drawn is not None:
            used.update(candidate.token_id for candidate in drawn.candidates)
        return drawn

    def _options(self, context: GenerationContext, key: tuple[int, ...], ranking: Ranking) -> Iterator[Option]:
        """Words outside the nucleus, most likely first, that a server would split from the key in the same way."""
        prompter, vocabulary = context.prompter, context.vocabulary
        boundary = int(np.searchsorted(ranking.probabilities.cumsum(dtype=np.float64), self.nucleus_p))
        text = prompter.decode(key)
        for rank in range(boundary + 1, len(ranking.token_ids)):
            token_id = int(ranking.token_ids[rank])
            if token_id not in vocabulary.word_tokens:
                continue
            if vocabulary.gap and prompter.encode(text + prompter.text_after(key, (token_id,))) != [*key, token_id]:
                continue
            yield Option((token_id,), rank, float(ranking.probabilities[rank]))


def _no_uses(context: GenerationContext) -> Counter[int]:
    del context
    return Counter()
