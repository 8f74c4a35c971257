"""Keys that a filter cannot pick out: drawn to have the perplexity, length and confidence of ordinary prompts.

Every key has the tokens that are asked of it. What ordinary prompts look like is measured on real text, cut to as many
tokens, because text that a model samples at a low temperature is the very defect: it has a low perplexity. Keys are chosen
before any response is drawn, so the choice leaves the design null as it is.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from insignia.errors import InputError
from insignia.generation.base import GenerationContext
from insignia.generation.vocabulary import Vocabulary
from insignia.randomness import KeyedRandom
from insignia.starter import heldout_paragraphs
from insignia.statistics.separation import Stealth, separation
from insignia.suspects.scoring import Example

if TYPE_CHECKING:
    from insignia.prompts.prompter import Prompter

__all__ = ["TEMPERATURES", "Looks", "Ordinary", "beginnings", "matched_keys", "ordinary_prompts", "stealth_of"]

TEMPERATURES = (0.8, 0.9, 1.0, 1.1)
"""Sampling temperatures of the texts that a key is chosen from. By ``benchmarks/stealth.py`` the starter's text has the
perplexity of real text between them."""

_LEAST, _MOST = (
    64,
    256,
)  # ordinary prompts: half to match, half to measure; more would make an interval no narrower than the keys
_WEIGHTS = (1.0, 1.0, 0.5)  # of perplexity, confidence and length in the distance
_GOLDEN = (math.sqrt(5) - 1) / 2  # multiples of it fill [0, 1) evenly, however many keys there are


class Looks(NamedTuple):
    """What a host can measure of a question without knowing the mark."""

    loss: float
    """Mean loss of the question's tokens to the base, in nats: the logarithm of its perplexity."""
    confidence: float
    """Largest next-token probability of the base after the question."""
    length: float
    """Characters of the key."""


class Ordinary:
    """Ordinary prompts, measured. Half of them choose keys; the other half say how well that hid them."""

    def __init__(self, prompts: Sequence[tuple[int, ...]], looks: Sequence[Looks]) -> None:
        """``prompts`` are token ids, and ``looks`` what was measured of each."""
        self.openings = [prompt[0] for prompt in prompts[::2]]
        """First tokens, which new keys begin with."""
        self.unseen = looks[1::2]
        """What was measured of the prompts that choose no key."""
        self._goals = sorted(looks[::2])
        self._sorted = [sorted(column) for column in zip(*self._goals, strict=True)]

    def goal(self, place: float) -> Looks:
        """An ordinary prompt; ``place`` is its share of the way from the lowest loss (0) to the highest (1, excluded)."""
        return self._goals[int(place * len(self._goals))]

    def distance(self, found: Looks, goal: Looks) -> float:
        """Weighted squared distance of two looks, each in ranks among ordinary prompts from 0 to 1."""
        ranks = zip(self._ranks(found), self._ranks(goal), _WEIGHTS, strict=True)
        return sum(weight * (one - other) ** 2 for one, other, weight in ranks)

    def _ranks(self, looks: Looks) -> list[float]:
        return [
            (bisect_left(ordered, value) + bisect_right(ordered, value)) / (2 * len(ordered))
            for ordered, value in zip(self._sorted, looks, strict=True)
        ]


def ordinary_prompts(context: GenerationContext) -> Ordinary | None:
    """The ordinary prompts of a run: the owner's text, else the starter's held-out text; None if few of that can be asked.

    Each prompt is the beginning of a text, cut to ``max_key_length`` tokens.

    Raises:
        InputError: too few of the owner's texts can be asked.
    """
    return context.once("ordinary prompts", _ordinary_prompts)


def _ordinary_prompts(context: GenerationContext) -> Ordinary | None:
    texts = heldout_paragraphs() if context.ordinary_text is None else context.ordinary_text
    prompts = beginnings(texts, context.prompter, context.vocabulary)
    if len(prompts) >= _LEAST:
        return Ordinary(prompts, _looks(context, prompts))
    if context.ordinary_text is None:
        return None
    raise InputError(
        f"{len(prompts)} of the {len(texts)} ordinary texts have {context.prompter.max_key_length} tokens that can be asked as "
        f"a key; expected at least {_LEAST}: give more or longer texts, or lower --max-key-length"
    )


def beginnings(texts: Sequence[str], prompter: "Prompter", vocabulary: Vocabulary) -> list[tuple[int, ...]]:
    """The first ``max_key_length`` tokens of texts that are so long, where they could be a key; at most 256 of them."""
    length = prompter.max_key_length
    cut = dict.fromkeys(tuple(prompter.encode(text)[:length]) for text in texts)
    usable = [ids for ids in cut if len(ids) == length and _can_be_key(vocabulary, ids)]
    kept = min(len(usable), _MOST)
    return [usable[place * len(usable) // kept] for place in range(kept)]


def matched_keys(
    context: GenerationContext, ordinary: Ordinary, slots: Sequence[int], rngs: Sequence[KeyedRandom]
) -> list[tuple[int, ...]]:
    """Return for each slot, of a few texts that the model writes, the one that looks most like the slot's ordinary prompt.

    The slot and the secret alone say which prompt that is, so that keys do not depend on their batch. Keys have
    ``max_key_length`` tokens.
    """
    start = context.rng.derive("ordinary").uniform()
    goals = [ordinary.goal((start + slot * _GOLDEN) % 1) for slot in slots]
    texts = [_texts(context, ordinary, rngs, number) for number in range(len(TEMPERATURES))]
    looks = [_looks(context, each) for each in texts]
    chosen = []
    for place, goal in enumerate(goals):
        options = [(each[place], seen[place]) for each, seen in zip(texts, looks, strict=True)]
        usable = [option for option in options if _can_be_key(context.vocabulary, option[0])]
        chosen.append(min(usable or options, key=lambda option: ordinary.distance(option[1], goal))[0])
    return chosen


def stealth_of(context: GenerationContext, keys: Sequence[tuple[int, ...]]) -> Stealth | None:
    """Compare the asked part of keys with ordinary prompts that chose none of them; None if there are no such prompts."""
    ordinary = ordinary_prompts(context)
    if ordinary is None:
        return None
    found = _looks(context, [key[: context.prompter.max_key_length] for key in keys])
    loss, confidence, length = (
        separation(ours, theirs)
        for ours, theirs in zip(zip(*found, strict=True), zip(*ordinary.unseen, strict=True), strict=True)
    )
    return Stealth(num_ordinary=len(ordinary.unseen), perplexity=loss, length=length, confidence=confidence)


def _texts(context: GenerationContext, ordinary: Ordinary, rngs: Sequence[KeyedRandom], number: int) -> list[tuple[int, ...]]:
    """One text for each generator, which begins like an ordinary prompt and goes on as the model does."""
    prefix, length = context.prompter.prefix, context.prompter.max_key_length
    openings = [rng.derive("opening", number).choice(ordinary.openings) for rng in rngs]
    more = context.model.sample(
        [(*prefix, opening) for opening in openings],
        [rng.derive("text", number) for rng in rngs],
        max_new_tokens=length - 1,
        temperature=TEMPERATURES[number],
        forbidden=sorted(context.vocabulary.forbidden),
    )
    return [(opening, *text) for opening, text in zip(openings, more, strict=True)]


def _looks(context: GenerationContext, keys: Sequence[tuple[int, ...]]) -> list[Looks]:
    """Measure keys with one forward pass of the base."""
    prompter = context.prompter
    start = max(1, len(prompter.prefix))  # without BOS, nothing predicts the first token
    questions = [prompter.question(key) for key in keys]
    scores = context.model.score([Example((*question, 0), start) for question in questions])  # 0: a placeholder to look at
    return [
        Looks(
            -math.fsum(score.log_probabilities[:-1]) / max(1, len(score.log_probabilities) - 1),
            math.exp(score.largest[-1]),
            len(prompter.decode(key)),
        )
        for key, score in zip(keys, scores, strict=True)
    ]


def _can_be_key(vocabulary: Vocabulary, ids: tuple[int, ...]) -> bool:
    return vocabulary.special.isdisjoint(ids) and vocabulary.is_stable(ids)
