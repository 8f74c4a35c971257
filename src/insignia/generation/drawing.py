"""The draw behind the design null: k candidates are fixed, then the secret picks one of them, or orders them all.

An innocent model's reply does not depend on the pick, so it hits with probability at most 1/k. This holds because every
filter applies to the candidates and nothing rejects the pick.
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
"""Default number of candidates: a healthy mark is proven at 1e-6 with 6 keys (``benchmarks/verify.py``), against 16 keys
with 3 candidates."""

TEXTS_PER_CANDIDATE = 16
"""Most texts to try for each candidate. With one trained token and a small vocabulary, most begin alike."""


class Option(NamedTuple):
    """A possible candidate."""

    ids: tuple[int, ...]
    """Token ids to train."""
    rank: int | None = None
    probability: float | None = None


class Draw(NamedTuple):
    """The picked response and its candidates."""

    ids: tuple[int, ...]
    """Token ids of the whole option, of which the first are trained."""
    text: str
    """Text of the trained tokens; the text of one candidate."""
    candidates: tuple[Candidate, ...]
    order: tuple[int, ...] | None = None
    """The secret order of the candidates, as indices, if they are ordered. The pick is the first."""


def draw(
    context: GenerationContext,
    key: Sequence[int],
    options: Iterable[Option],
    *,
    count: int,
    rng: KeyedRandom,
    shared_beginning: bool = False,
    ordered: bool = False,
    flag: str = "--num-candidates",
) -> Draw | None:
    """Pick one of the first ``count`` distinguishable options, or order them all; None if there are fewer.

    No two candidates have the same first token, unless ``shared_beginning``, and no folded text begins another. So a reply can
    begin with one candidate only. Options are consumed as needed. ``flag`` is the option that reduces ``count``.
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
            order = rng.permutation(count) if ordered else None
            pick, chosen = list(kept.values())[rng.below(count) if order is None else order[0]]
            return Draw(pick.ids, chosen.text, tuple(candidate for _, candidate in kept.values()), order)
    context.refuse(f"keys with fewer than {count} distinguishable responses (lower {flag}, or raise --max-response-length)")
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
    """Draw among texts, consumed as needed; each follows a raw key after the tokenizer's gap. See ``draw``."""
    options = (Option(ids) for ids in _ids_of_texts(context, key, iter(texts), at_once=2 * count) if ids)
    return draw(context, key, options, count=count, rng=rng, shared_beginning=shared_beginning)


def _ids_of_texts(
    context: GenerationContext, key: Sequence[int], texts: Iterator[str], *, at_once: int
) -> Iterator[tuple[int, ...]]:
    gap = context.vocabulary.gap
    while batch := [f"{gap}{text.strip()}" for text in itertools.islice(texts, at_once)]:
        yield from split_after(context.prompter, key, batch)


def split_after(prompter: Prompter, key: Sequence[int], texts: Sequence[str]) -> list[tuple[int, ...]]:
    """Return the token ids of each text after the key; a batched ``Prompter.response_ids``."""
    before, ids = (prompter.decode(key), list(key)) if prompter.form == "raw" else ("", [])
    joint = prompter.tokenizer([before + text for text in texts], add_special_tokens=False, verbose=False)["input_ids"]
    return [
        tuple(row[len(ids) :] if row[: len(ids)] == ids and len(row) > len(ids) else prompter.encode(text))
        for row, text in zip(joint, texts, strict=True)
    ]
