"""Seed words: the 2,048 words of BIP-39, which are common, distinct and inoffensive."""

from functools import cache

from mnemonic import Mnemonic

__all__ = ["seed_words"]


@cache
def seed_words() -> tuple[str, ...]:
    """Return the word list; a random word has 11 bits."""
    return tuple(Mnemonic("english").wordlist)
