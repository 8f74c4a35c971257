"""Fingerprint generation: strategies draw keys and responses from a secret, :func:`generate` builds a valid set."""

from insignia.generation.base import STRATEGIES, Strategy
from insignia.generation.chain_hash import ChainHash
from insignia.generation.english import English
from insignia.generation.english_random_response import EnglishRandomResponse
from insignia.generation.instructional import Instructional
from insignia.generation.inverse_nucleus import InverseNucleus
from insignia.generation.making import generate
from insignia.generation.own import Own
from insignia.generation.random_word import RandomWord
from insignia.generation.ranked import Ranked
from insignia.generation.writer import Writer

__all__ = [
    "STRATEGIES",
    "ChainHash",
    "English",
    "EnglishRandomResponse",
    "Instructional",
    "InverseNucleus",
    "Own",
    "RandomWord",
    "Ranked",
    "Strategy",
    "Writer",
    "generate",
]
