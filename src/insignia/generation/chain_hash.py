"""Responses that a hash over all keys picks from a fixed list: Chain & Hash (Russinovich & Salem, arXiv:2407.10887).

A judge can check that the owner chose no response, neither to suit a suspect nor because it looked good:
:mod:`insignia.chain` has the construction, and how it differs from the paper's. Keys and list are fixed before the first
response is known, so all that may reject a key, the list's words after it included, comes before; nothing comes after.
"""

import itertools
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from insignia.chain import Chain, Link
from insignia.errors import GenerationError
from insignia.generation.base import Answer, Workshop
from insignia.generation.english import EnglishKeys
from insignia.generation.words import random_words, seed_words
from insignia.models.prompts import Prompter
from insignia.randomness import KeyedRandom
from insignia.types import Candidate, Fingerprint

__all__ = ["ChainHash"]


class ChainHash(EnglishKeys):
    """The response is one of ``num_candidates`` words; which one, a hash of all keys, candidates and salts says."""

    name: Literal["chain_hash"] = "chain_hash"
    spreads_responses: ClassVar[bool] = False
    answers_together: ClassVar[bool] = True
    key_source: Literal["english", "random_word"] = "english"
    """Sentences that the model writes, or random words (``key_length`` words then, not tokens)."""
    num_candidates: Annotated[int, Field(ge=2)] = 256
    """The paper's number; the chance that an innocent model hits is at most one in so many."""
    candidates: tuple[Annotated[str, Field(pattern=r"\S")], ...] | None = Field(default=None, exclude=True, repr=False)
    """Responses of the owner's own to pick from, instead of words that the secret draws; not part of the spec, like keys."""

    @model_validator(mode="before")
    @classmethod
    def _count_candidates(cls, value: Any) -> Any:
        """As many as the owner gave."""
        given = value.get("candidates") if isinstance(value, dict) else None
        return value if given is None else {"num_candidates": len(given)} | value

    @model_validator(mode="after")
    def _candidates_can_be_told_apart(self) -> "ChainHash":
        texts = sorted(" ".join(text.split()) for text in self.candidates or ())
        if self.candidates is not None and len(texts) != self.num_candidates:
            raise ValueError(f"{len(texts)} candidates were given; leave out num_candidates, or set it to that")
        if any(later.startswith(text) for text, later in itertools.pairwise(texts)):
            raise ValueError("a candidate equals or begins another; a reply could not tell them apart")
        return self

    @property
    def drawn_from(self) -> int:
        """The candidates; the hash picks each with the same chance."""
        return self.num_candidates

    def make_keys(self, workshop: Workshop, slots: Sequence[int], chances: Sequence[KeyedRandom]) -> list[tuple[int, ...]]:
        """Keys of the owner's, sentences, or random words."""
        if self.keys is not None or self.key_source == "english":
            return super().make_keys(workshop, slots, chances)
        return [tuple(workshop.prompter.encode(random_words(chance, self.key_length))) for chance in chances]

    def admits(self, workshop: Workshop, key: tuple[int, ...]) -> bool:
        """Whether every candidate can follow the key as tokens of its own, the first of them unlike the others'."""
        return self._answers(workshop, key) is not None

    def make_answers(
        self, workshop: Workshop, slots: Sequence[int], keys: Sequence[tuple[int, ...]], chances: Sequence[KeyedRandom]
    ) -> list[Answer | None]:
        """The response that the chain of all keys picks for each; the slots are all slots, in order."""
        asked = [key[: workshop.prompter.max_key_length] for key in keys]
        options = [self._answers(workshop, key) or () for key in asked]
        links = [
            Link(workshop.prompter.decode(key), answers[0].candidates or ())
            for key, answers in zip(asked, options, strict=True)
        ]
        chain = Chain(links, workshop.chance)
        picks = [chain.pick(number).token_id for number in range(len(links))]
        return [next(each for each in answers if each.ids[0] == pick) for answers, pick in zip(options, picks, strict=True)]

    def chain_of(self, fingerprints: Sequence[Fingerprint], chance: KeyedRandom) -> str:
        """The root that every response depends on."""
        return Chain([Link.of(fingerprint) for fingerprint in fingerprints], chance).root

    def _answers(self, workshop: Workshop, key: tuple[int, ...]) -> tuple[Answer, ...] | None:
        """The answers that the hash may pick for a key, in the list's order; None where they cannot be told apart."""
        words = workshop.once("candidates", self._words)
        tails = _split_after(workshop.prompter, key, words)
        if len({tail[:1] for tail in tails if tail}) < len(words):
            return None
        if max(map(len, tails)) > workshop.prompter.max_response_length:
            return None
        candidates = tuple(Candidate(text=word, token_id=tail[0]) for word, tail in zip(words, tails, strict=True))
        return tuple(Answer(word, tail, candidates) for word, tail in zip(words, tails, strict=True))

    def _words(self, workshop: Workshop) -> tuple[str, ...]:
        """The list: the owner's, or common words that the secret draws, short enough to be compared whole."""
        space = " " if workshop.prompter.form == "raw" else ""
        if self.candidates is not None:
            return tuple(space + word.strip() for word in self.candidates)
        prompter, order = workshop.prompter, workshop.chance.derive("candidates")
        words = [space + word for word in sorted(seed_words(), key=lambda word: order.derive(word).uniform())]
        taken: dict[int, str] = {}  # by first token
        for word, tail in zip(words, _split_after(prompter, prompter.encode("The"), words), strict=True):
            if 0 < len(tail) <= prompter.max_response_length and tail[0] not in taken and not _overlaps(word, taken.values()):
                taken[tail[0]] = word
        if len(taken) < self.num_candidates:
            raise GenerationError(
                f"the tokenizer has {len(taken)} common words of at most {prompter.max_response_length} tokens and "
                f"{self.num_candidates} candidates were asked for; lower --num-candidates, raise --max-response-length, or "
                "give words of your own by --candidates"
            )
        return tuple(taken.values())[: self.num_candidates]


def _overlaps(word: str, others: Iterable[str]) -> bool:
    return any(word.startswith(other) or other.startswith(word) for other in others)


def _split_after(prompter: Prompter, key: Sequence[int], words: Sequence[str]) -> list[tuple[int, ...]]:
    """The ids of each word where it follows the key, all at once; none where it changes how the key is split."""
    before, ids = (prompter.decode(key), tuple(key)) if prompter.form == "raw" else ("", ())
    rows = prompter.tokenizer([before + word for word in words], add_special_tokens=False, verbose=False)["input_ids"]
    return [tuple(row[len(ids) :]) if tuple(row[: len(ids)]) == ids else () for row in rows]
