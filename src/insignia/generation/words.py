"""Seed words: the 2,048 words of BIP-39, chosen by their authors to be common, distinct and inoffensive."""

from functools import cache

from mnemonic import Mnemonic

from insignia.randomness import KeyedRandom

__all__ = ["random_words", "seed_words"]


@cache
def seed_words() -> tuple[str, ...]:
    """The word list, 11 bits a word."""
    return tuple(Mnemonic("english").wordlist)


def random_words(chance: KeyedRandom, count: int) -> str:
    """That many words, joined by spaces."""
    return " ".join(chance.choice(seed_words()) for _ in range(count))
