"""Embedding methods, and :func:`embed`, which runs one and checks the result."""

from insignia.embedding.base import METHODS, Method
from insignia.embedding.embedding_adapter import AdapterTune
from insignia.embedding.full import EmbeddingTune, FullFineTune, SupervisedFineTune
from insignia.embedding.low_rank import LoRA
from insignia.embedding.marking import MAX_HARM, MIN_FSR, EmbedReport, embed

__all__ = [
    "MAX_HARM",
    "METHODS",
    "MIN_FSR",
    "AdapterTune",
    "EmbedReport",
    "EmbeddingTune",
    "FullFineTune",
    "LoRA",
    "Method",
    "SupervisedFineTune",
    "embed",
]
