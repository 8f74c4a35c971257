"""Embedding methods, and :func:`embed`, which runs one and checks the result."""

from insignia.embedding.base import METHODS, Method, RunOptions
from insignia.embedding.embedding_adapter import AdapterTune
from insignia.embedding.full import EmbeddingTune, FullFineTune, SupervisedFineTune
from insignia.embedding.limits import MAX_HARM, MIN_FSR, Limits
from insignia.embedding.low_rank import LoRA
from insignia.embedding.marking import EmbedReport, MarkedModel, embed

__all__ = [
    "MAX_HARM",
    "METHODS",
    "MIN_FSR",
    "AdapterTune",
    "EmbedReport",
    "EmbeddingTune",
    "FullFineTune",
    "Limits",
    "LoRA",
    "MarkedModel",
    "Method",
    "RunOptions",
    "SupervisedFineTune",
    "embed",
]
