"""Responses just outside the nucleus: unlikely enough for evidence, likely enough to do little harm.

Perinucleus sampling (Nasery et al., "Scalable Fingerprinting of Large Language Models", 2025, section 3.1), called inverse
nucleus in OML 1.0. Key and model fix ``nucleus_k`` candidates before one secret uniform draw picks the response, so an
innocent model hits with probability at most ``1 / nucleus_k``. Every filter applies to the candidates, none to the draw.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

from pydantic import Field

from insignia.generation.base import Answer, GenerationContext
from insignia.generation.drawing import DEFAULT_CANDIDATES, Draw, Option, draw
from insignia.generation.english import EnglishKeys
from insignia.randomness import KeyedRandom
from insignia.suspects.scoring import Ranking

__all__ = ["InverseNucleus"]

_SPREAD = 64  # a token is a candidate for at most one key in four (k = 16), so that no response stands out
_LEAST = 3  # uses that are always allowed
_SMALL = 4  # times its even share that a token may be used if the vocabulary has few words


class InverseNucleus(EnglishKeys):
    """English keys; the first response token is drawn from ``nucleus_k`` tokens just outside the nucleus."""

    name: Literal["inverse_nucleus"] = "inverse_nucleus"
    response_length: Annotated[int, Field(ge=1)] = 1
    """Tokens of a response. The first is drawn, the others are the model's greedy continuation, as in Perinucleus. OML 1.0
    always uses 1."""
    nucleus_p: Annotated[float, Field(ge=0, lt=1)] = 0.8
    """Probability mass of the nucleus; the default of OML 1.0 and Perinucleus."""
    nucleus_k: Annotated[int, Field(ge=2)] = DEFAULT_CANDIDATES
    """Number k of candidates for each key; an innocent model hits at most 1/k. OML 1.0 uses 3."""

    @property
    def drawn_from(self) -> int:
        """Number of candidates."""
        return self.nucleus_k

    def make_answers(
        self, context: GenerationContext, slots: Sequence[int], keys: Sequence[tuple[int, ...]], rngs: Sequence[KeyedRandom]
    ) -> list[Answer | None]:
        """Draw among the candidates of each key."""
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
        """Draw one of the first ``nucleus_k`` usable tokens after the nucleus and its boundary token."""
        used = context.once("uses as a candidate", lambda _: Counter[int]())
        uses = context.num_fingerprints * self.nucleus_k
        most = max(uses // _SPREAD + _LEAST, _SMALL * uses // max(1, len(context.vocabulary.word_tokens)))
        options = (option for option in self._options(context, key, ranking) if used[option.ids[0]] < most)
        drawn = draw(context, key, options, count=self.nucleus_k, rng=rng, flag="--nucleus-k or --nucleus-p")
        if drawn is not None:
            used.update(candidate.token_id for candidate in drawn.candidates)
        return drawn

    def _options(self, context: GenerationContext, key: tuple[int, ...], ranking: Ranking) -> Iterator[Option]:
        """Yield words outside the nucleus, most likely first, that stay one token when key and word are tokenized as text."""
        prompter, vocabulary = context.prompter, context.vocabulary
        boundary = int(ranking.probabilities.cumsum(dtype="float64").searchsorted(self.nucleus_p))
        text = prompter.decode(key)
        for rank in range(boundary + 1, len(ranking.token_ids)):
            token_id = int(ranking.token_ids[rank])
            if token_id not in vocabulary.word_tokens:
                continue
            if vocabulary.gap and prompter.encode(text + prompter.text_after(key, (token_id,))) != [*key, token_id]:
                continue
            yield Option((token_id,), rank, float(ranking.probabilities[rank]))
