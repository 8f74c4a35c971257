"""Responses that a hash over all keys picks from a fixed list: Chain & Hash (Russinovich & Salem, arXiv:2407.10887).

A judge can check that the owner chose no response, neither to suit a suspect nor because it looked good:
:mod:`insignia.evidence.chain` has the construction, and how it differs from the paper's. Keys and list are fixed before the
first response is known, so all that may reject a key, the list's words after it included, comes before; nothing comes after.
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
    """The response is one of ``num_candidates`` words; which one, a hash of all keys, candidates and salts says."""

    name: Literal["chain_hash"] = "chain_hash"
    answers_together: ClassVar[bool] = True
    key_source: Literal["english", "random_word"] = "english"
    """Sentences that the model writes, or random words (``key_length`` words then, not tokens)."""
    num_candidates: Annotated[int, Field(ge=2)] = DEFAULT_CANDIDATES
    """Words that the hash picks from; an innocent model hits at most 1/k. The paper takes 256."""
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
        given = self.candidates or ()
        if given and len(given) != self.num_candidates:
            raise ValueError(f"{len(given)} candidates were given; leave out num_candidates, or set it to that")
        if not distinguishable(given, "case"):
            raise ValueError("a candidate equals or begins another, or looks like it; a reply could not tell them apart")
        return self

    @property
    def drawn_from(self) -> int:
        """The candidates; the hash picks each with the same chance."""
        return self.num_candidates

    def make_keys(self, context: GenerationContext, slots: Sequence[int], rngs: Sequence[KeyedRandom]) -> list[tuple[int, ...]]:
        """Keys of the owner's, sentences, or random words."""
        if self.keys is not None or self.key_source == "english":
            return super().make_keys(context, slots, rngs)
        texts = [context.vocabulary.random_words(rng, self.key_length) for rng in rngs]
        return [tuple(context.prompter.encode(text)) for text in texts]

    def admits(self, context: GenerationContext, key: tuple[int, ...]) -> bool:
        """Whether every candidate can follow the key as tokens of its own, the first of them unlike the others'."""
        return self._answers(context, key) is not None

    def make_answers(
        self, context: GenerationContext, slots: Sequence[int], keys: Sequence[tuple[int, ...]], rngs: Sequence[KeyedRandom]
    ) -> list[Answer | None]:
        """The response that the chain of all keys picks for each; the slots are all slots, in order."""
        asked = [key[: context.prompter.max_key_length] for key in keys]
        options = [self._answers(context, key) or () for key in asked]
        links = [
            Link(context.prompter.decode(key), answers[0].candidates or ()) for key, answers in zip(asked, options, strict=True)
        ]
        chain = Chain(links, context.rng)
        picks = [chain.pick(number).token_id for number in range(len(links))]
        return [next(each for each in answers if each.ids[0] == pick) for answers, pick in zip(options, picks, strict=True)]

    def chain_of(self, fingerprints: Sequence[Fingerprint], rng: KeyedRandom) -> str:
        """The root that every response depends on."""
        return Chain([Link.of(fingerprint) for fingerprint in fingerprints], rng).root

    def _answers(self, context: GenerationContext, key: tuple[int, ...]) -> tuple[Answer, ...] | None:
        """The answers that the hash may pick for a key, in the list's order; None where they cannot be told apart."""
        words = context.once("candidates", self._words)
        tails = [tail[: context.prompter.max_response_length] for tail in split_after(context.prompter, key, words)]
        texts = [context.vocabulary.trained_text(key, tail) for tail in tails]
        if len({tail[0] for tail in tails}) < len(words) or texts != list(words):
            context.refuse("keys after which the candidates are split in another way (raise --max-key-length)")
            return None
        candidates = tuple(Candidate(text=word, token_id=tail[0]) for word, tail in zip(words, tails, strict=True))
        return tuple(Answer(word, tail, word, candidates) for word, tail in zip(words, tails, strict=True))

    def _words(self, context: GenerationContext) -> tuple[str, ...]:
        """The list: the owner's, or common words that the secret draws, or what of them is trained."""
        prompter, vocabulary, order = context.prompter, context.vocabulary, context.rng.derive("candidates")
        if self.candidates is not None:
            return tuple(vocabulary.gap + word.strip() for word in self.candidates)
        key = prompter.encode(vocabulary.words[0])
        words = sorted(vocabulary.words, key=lambda word: order.derive(word).uniform())
        tails = split_after(prompter, key, [vocabulary.gap + word for word in words])
        whole = [tail for tail in tails if len(tail) <= prompter.max_response_length]
        options = [Option(tail[: prompter.max_response_length]) for tail in [*whole, *tails]]  # parts where they must be
        drawn = draw(context, key, options, count=self.num_candidates, rng=order)
        if drawn is None:
            raise GenerationError(
                f"the tokenizer has fewer than {self.num_candidates} common words of at most {prompter.max_response_length} "
                "tokens that can be told apart; lower --num-candidates, raise --max-response-length, or give words of your own "
                "by --candidates"
            )
        return tuple(candidate.text for candidate in drawn.candidates)
