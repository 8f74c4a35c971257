"""Putting fingerprints into a model: methods, and :func:`embed` which runs one and checks its result."""

from insignia.embedding.base import METHODS, Method
from insignia.embedding.full import FullFineTune
from insignia.embedding.stage import MIN_FSR, EmbedReport, embed

__all__ = ["METHODS", "MIN_FSR", "EmbedReport", "FullFineTune", "Method", "embed"]
