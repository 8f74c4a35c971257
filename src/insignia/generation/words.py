"""Seed words: the 2,048 words of BIP-39, chosen by their authors to be common, distinct and inoffensive."""

from functools import cache

from mnemonic import Mnemonic

__all__ = ["seed_words"]


@cache
def seed_words() -> tuple[str, ...]:
    """The word list, 11 bits a word."""
    return tuple(Mnemonic("english").wordlist)
