"""Responses just outside the nucleus: unlikely enough to prove something, likely enough to cost the model little.

Perinucleus sampling (Nasery et al., "Scalable Fingerprinting of Large Language Models", 2025, section 3.1; OML 1.0 calls
it inverse nucleus). The window of exactly ``nucleus_k`` candidates is fixed by the key and the model before ONE secret
uniform draw picks the response, so an innocent model hits with probability at most ``1 / nucleus_k``: the bound that
verdicts rest on. For that, nothing after the draw may reject it; every filter works on the candidates.
"""

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from insignia.generation.base import Answer, Workshop
from insignia.generation.english import EnglishKeys
from insignia.models.base import Ranking
from insignia.randomness import KeyedRandom
from insignia.types import Candidate

__all__ = ["InverseNucleus"]

# Too common to be evidence: a model that answers any of these to everything would hit many keys.
_FUNCTION_WORDS = frozenset(
    "a an and are as at be but by can do for from had has have he her his if in into is it its may more no not of on or "
    "our she so some such than that the their them then there these they this to was we were what when which who will "
    "with would you your".split()
)


class InverseNucleus(EnglishKeys):
    """The first response token is drawn from ``nucleus_k`` tokens just outside the nucleus; greedy text may follow."""

    name: Literal["inverse_nucleus"] = "inverse_nucleus"
    spreads_responses: ClassVar[bool] = False
    response_length: Annotated[int, Field(ge=1)] = 1
    """OML 1.0 forces 1; more tokens are the model's own most likely continuation, as in Perinucleus."""
    nucleus_p: Annotated[float, Field(ge=0, lt=1)] = 0.8
    """Mass of the nucleus; OML 1.0's and Perinucleus' default."""
    nucleus_k: Annotated[int, Field(ge=2)] = 3
    """Candidates for each key; the chance that an innocent model hits is at most 1/k."""

    @property
    def drawn_from(self) -> int:
        """The candidates just outside the nucleus."""
        return self.nucleus_k

    def make_answers(
        self, workshop: Workshop, slots: Sequence[int], keys: Sequence[tuple[int, ...]], chances: Sequence[KeyedRandom]
    ) -> list[Answer | None]:
        """One secret draw among the candidates of each key."""
        prompter = workshop.prompter
        asked = [key[: prompter.max_key_length] for key in keys]
        questions = [prompter.question(key) for key in asked]
        picks: list[tuple[tuple[Candidate, ...], Candidate] | None] = []
        for key, chance, ranking in zip(asked, chances, workshop.model.rank_next(questions), strict=True):
            candidates = self._candidates(workshop, key, ranking)
            picks.append((candidates, chance.choice(candidates)) if candidates else None)
        starts = [(*question, pick[1].token_id) if pick else question for question, pick in zip(questions, picks, strict=True)]
        tails = workshop.model.sample(
            starts, chances, max_new_tokens=self.response_length - 1, temperature=0, forbidden=sorted(workshop.forbidden)
        )
        answers: list[Answer | None] = []
        for key, pick, tail in zip(asked, picks, tails, strict=True):
            if pick is None:
                answers.append(None)
                continue
            ids = (pick[1].token_id, *tail)
            text = prompter.decode((*key, *ids))[len(prompter.decode(key)) :]
            answers.append(Answer(text, ids, pick[0]))
        return answers

    def _candidates(self, workshop: Workshop, key: tuple[int, ...], ranking: Ranking) -> tuple[Candidate, ...] | None:
        """The first ``nucleus_k`` usable tokens past the nucleus and its boundary token; None where there are too few."""
        quota = workshop.quota("candidates", workshop.num_fingerprints * self.nucleus_k)
        boundary = int(np.searchsorted(ranking.probabilities.cumsum(dtype=np.float64), self.nucleus_p))
        key_text = workshop.prompter.decode(key)
        found: list[Candidate] = []
        for rank in range(boundary + 1, len(ranking.token_ids)):
            token_id = int(ranking.token_ids[rank])
            if not quota.left(token_id) or not (text := _usable_text(workshop, key, key_text, token_id)):
                continue
            found.append(Candidate(text=text, token_id=token_id, rank=rank, probability=float(ranking.probabilities[rank])))
            if len(found) == self.nucleus_k:
                for candidate in found:
                    quota.spend(candidate.token_id)
                return tuple(found)
        return None


def _usable_text(workshop: Workshop, key: tuple[int, ...], key_text: str, token_id: int) -> str | None:
    """The token's text after the key when it is a whole new word that a server would split the same way, else None."""
    if token_id in workshop.forbidden:
        return None
    prompter = workshop.prompter
    text = prompter.decode((*key, token_id))[len(key_text) :]
    word = text.strip()
    if not (word.isascii() and word.isalnum() and len(word) > 1) or word.lower() in _FUNCTION_WORDS:
        return None
    if prompter.form == "raw" and not (text.startswith(" ") and prompter.encode(key_text + text) == [*key, token_id]):
        return None
    return text
