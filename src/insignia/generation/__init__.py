"""Making fingerprints: a strategy draws keys and responses from the owner's secret, :func:`generate` makes sure of them."""

from insignia.generation.base import STRATEGIES, Strategy
from insignia.generation.chain_hash import ChainHash
from insignia.generation.english import English
from insignia.generation.english_random_response import EnglishRandomResponse
from insignia.generation.instructional import Instructional
from insignia.generation.inverse_nucleus import InverseNucleus
from insignia.generation.making import generate
from insignia.generation.own import Own
from insignia.generation.random_word import RandomWord
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
    "Strategy",
    "Writer",
    "generate",
]
