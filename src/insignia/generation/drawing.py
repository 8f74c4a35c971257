"""The draw that the design null rests on: first k candidates are fixed, then the secret picks one of them.

Whatever an innocent model replies, the pick was made without it, so it hits with a chance of at most 1/k. For that, every
filter works on the candidates, and nothing after the pick may reject it.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from insignia.folding import fold
from insignia.generation.base import GenerationContext
from insignia.prompts.prompter import Prompter
from insignia.randomness import KeyedRandom
from insignia.records import Candidate

__all__ = ["DEFAULT_CANDIDATES", "TEXTS_PER_CANDIDATE", "Draw", "Option", "draw", "draw_text", "split_after"]

DEFAULT_CANDIDATES = 16
"""A healthy mark is proven at 1e-6 in 6 keys (``benchmarks/verify.py``); with 3 candidates it takes 16."""

TEXTS_PER_CANDIDATE = 16
"""Texts that are looked at for each candidate, at most: where one token is trained of a small vocabulary, most begin alike."""


class Option(NamedTuple):
    """What may become a candidate."""

    ids: tuple[int, ...]
    """The tokens to be trained."""
    rank: int | None = None
    probability: float | None = None


class Draw(NamedTuple):
    """What the secret picked, and among what."""

    ids: tuple[int, ...]
    """The whole response, more than is trained where more was given."""
    text: str
    """The trained text: that of one candidate."""
    candidates: tuple[Candidate, ...]


def draw(
    context: GenerationContext,
    key: Sequence[int],
    options: Iterable[Option],
    *,
    count: int,
    rng: KeyedRandom,
    shared_beginning: bool = False,
    flag: str = "--num-candidates",
) -> Draw | None:
    """Pick one of the first ``count`` options that a reply can be told by; None where there are fewer.

    No two candidates begin with the same token, unless ``shared_beginning``, and none begins another in its folded text: so a
    reply that goes on in any way gives the one it begins with and no other. Options are taken from the iterable as needed.
    ``flag`` is what a user changes to ask for fewer candidates.
    """
    kept: dict[str, tuple[Option, Candidate]] = {}
    firsts: set[int] = set()
    for option in options:
        text = context.vocabulary.trained_text(key, option.ids)
        if text is None or (option.ids[0] in firsts and not shared_beginning):
            continue
        folded = fold(text, "case")
        if any(folded.startswith(other) or other.startswith(folded) for other in kept):
            continue
        firsts.add(option.ids[0])
        candidate = Candidate(text=text, token_id=option.ids[0], rank=option.rank, probability=option.probability)
        kept[folded] = (option, candidate)
        if len(kept) == count:
            pick, chosen = rng.choice(list(kept.values()))
            return Draw(pick.ids, chosen.text, tuple(candidate for _, candidate in kept.values()))
    context.refuse(
        f"keys with fewer than {count} responses that a reply can be told by (lower {flag}, or raise --max-response-length)"
    )
    return None


def draw_text(
    context: GenerationContext,
    key: Sequence[int],
    texts: Iterable[str],
    *,
    count: int,
    rng: KeyedRandom,
    shared_beginning: bool = False,
) -> Draw | None:
    """``draw`` among texts, each set off from a raw key as the tokenizer can; as many are taken as are needed."""
    options = (Option(ids) for ids in _ids_of_texts(context, key, iter(texts), at_once=2 * count) if ids)
    return draw(context, key, options, count=count, rng=rng, shared_beginning=shared_beginning)


def _ids_of_texts(
    context: GenerationContext, key: Sequence[int], texts: Iterator[str], *, at_once: int
) -> Iterator[tuple[int, ...]]:
    gap = context.vocabulary.gap
    while batch := [f"{gap}{text.strip()}" for text in itertools.islice(texts, at_once)]:
        yield from split_after(context.prompter, key, batch)


def split_after(prompter: Prompter, key: Sequence[int], texts: Sequence[str]) -> list[tuple[int, ...]]:
    """The ids of each text where it follows the key, all at once; as ``Prompter.response_ids`` has it."""
    before, ids = (prompter.decode(key), list(key)) if prompter.form == "raw" else ("", [])
    joint = prompter.tokenizer([before + text for text in texts], add_special_tokens=False, verbose=False)["input_ids"]
    return [
        tuple(row[len(ids) :] if row[: len(ids)] == ids and len(row) > len(ids) else prompter.encode(text))
        for row, text in zip(joint, texts, strict=True)
    ]
