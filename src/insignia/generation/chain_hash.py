"""Chain & Hash (Russinovich & Salem, arXiv:2407.10887): a hash over all keys picks each response from a fixed list.

A judge can check that the owner chose no response. See :mod:`insignia.evidence.chain` for the construction and how it differs
from the paper's. All checks of keys and list come before the first response is picked, and none after.
"""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from insignia.errors import GenerationError
from insignia.evidence.chain import Chain, Link
from insignia.folding import distinguishable
from insignia.generation.base import Answer, GenerationContext
from insignia.generation.drawing import DEFAULT_CANDIDATES, Option, draw, split_after
from insignia.generation.english import EnglishKeys
from insignia.randomness import KeyedRandom
from insignia.records import Candidate, Fingerprint

__all__ = ["ChainHash"]


class ChainHash(EnglishKeys):
    """A hash of all keys, candidates and salts picks the response from ``num_candidates`` words."""

    name: Literal["chain_hash"] = "chain_hash"
    answers_together: ClassVar[bool] = True
    key_source: Literal["english", "random_word"] = "english"
    """Source of the keys: sentences that the model writes, or ``key_length`` random words."""
    num_candidates: Annotated[int, Field(ge=2)] = DEFAULT_CANDIDATES
    """Number k of words that the hash picks from; an innocent model hits at most 1/k. The paper uses 256."""
    candidates: tuple[Annotated[str, Field(pattern=r"\S")], ...] | None = Field(default=None, exclude=True, repr=False)
    """Words of the owner to pick from, instead of random words. Not part of the spec."""

    @model_validator(mode="before")
    @classmethod
    def _count_candidates(cls, value: Any) -> Any:
        """Set ``num_candidates`` to the number of given candidates."""
        given = value.get("candidates") if isinstance(value, dict) else None
        return value if given is None else {"num_candidates": len(given)} | value

    @model_validator(mode="after")
    def _candidates_can_be_told_apart(self) -> "ChainHash":
        given = self.candidates or ()
        if given and len(given) != self.num_candidates:
            raise ValueError(f"{len(given)} candidates were given; leave out num_candidates or set it to this number")
        if not distinguishable(given, "case"):
            raise ValueError("a candidate begins or looks like another, so a reply could match both")
        return self

    @property
    def drawn_from(self) -> int:
        """Number of candidates, which the hash picks with equal probability."""
        return self.num_candidates

    def make_keys(self, context: GenerationContext, slots: Sequence[int], rngs: Sequence[KeyedRandom]) -> list[tuple[int, ...]]:
        """Return the owner's keys, sentences, or random words."""
        if self.keys is not None or self.key_source == "english":
            return super().make_keys(context, slots, rngs)
        texts = [context.vocabulary.random_words(rng, self.key_length) for rng in rngs]
        return [tuple(context.prompter.encode(text)) for text in texts]

    def admits(self, context: GenerationContext, key: tuple[int, ...]) -> bool:
        """Whether every candidate can follow the key with its own text and its own first token."""
        return self._answers(context, key) is not None

    def make_answers(
        self, context: GenerationContext, slots: Sequence[int], keys: Sequence[tuple[int, ...]], rngs: Sequence[KeyedRandom]
    ) -> list[Answer | None]:
        """Return the response that the chain picks for each key; ``slots`` are all slots, in order."""
        asked = [key[: context.prompter.max_key_length] for key in keys]
        options = [self._answers(context, key) or () for key in asked]
        links = [
            Link(context.prompter.decode(key), answers[0].candidates or ()) for key, answers in zip(asked, options, strict=True)
        ]
        chain = Chain(links, context.rng)
        picks = [chain.pick(number).token_id for number in range(len(links))]
        return [next(each for each in answers if each.ids[0] == pick) for answers, pick in zip(options, picks, strict=True)]

    def chain_of(self, fingerprints: Sequence[Fingerprint], rng: KeyedRandom) -> str:
        """Return the root of the chain."""
        return Chain([Link.of(fingerprint) for fingerprint in fingerprints], rng).root

    def _answers(self, context: GenerationContext, key: tuple[int, ...]) -> tuple[Answer, ...] | None:
        """Return the answers that the hash may pick for a key, in list order; None if they are not distinguishable."""
        words = context.once("candidates", self._words)
        tails = [tail[: context.prompter.max_response_length] for tail in split_after(context.prompter, key, words)]
        texts = [context.vocabulary.trained_text(key, tail) for tail in tails]
        if len({tail[0] for tail in tails}) < len(words) or texts != list(words):
            context.refuse("keys after which the candidates are tokenized differently (raise --max-key-length)")
            return None
        candidates = tuple(Candidate(text=word, token_id=tail[0]) for word, tail in zip(words, tails, strict=True))
        return tuple(Answer(word, tail, word, candidates) for word, tail in zip(words, tails, strict=True))

    def _words(self, context: GenerationContext) -> tuple[str, ...]:
        """Return the list: the owner's words, or random common words, cut to their trained tokens."""
        prompter, vocabulary, order = context.prompter, context.vocabulary, context.rng.derive("candidates")
        if self.candidates is not None:
            return tuple(vocabulary.gap + word.strip() for word in self.candidates)
        key = prompter.encode(vocabulary.words[0])
        words = sorted(vocabulary.words, key=lambda word: order.derive(word).uniform())
        tails = split_after(prompter, key, [vocabulary.gap + word for word in words])
        whole = [tail for tail in tails if len(tail) <= prompter.max_response_length]
        options = [Option(tail[: prompter.max_response_length]) for tail in [*whole, *tails]]  # whole words first
        drawn = draw(context, key, options, count=self.num_candidates, rng=order)
        if drawn is None:
            raise GenerationError(
                f"the tokenizer has fewer than {self.num_candidates} common words of at most {prompter.max_response_length} "
                "distinguishable tokens; lower --num-candidates, raise --max-response-length, or give your own words with "
                "--candidates"
            )
        return tuple(candidate.text for candidate in drawn.candidates)
