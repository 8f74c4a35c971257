"""Putting fingerprints into a model: methods, and :func:`embed` which runs one and checks its result."""

from insignia.embedding.adapter import AdapterTune
from insignia.embedding.base import METHODS, Method
from insignia.embedding.full import EmbeddingTune, FullFineTune, SupervisedFineTune
from insignia.embedding.lora import LoRA
from insignia.embedding.stage import MIN_FSR, EmbedReport, embed

__all__ = [
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
