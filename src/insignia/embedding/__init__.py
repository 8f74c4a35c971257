"""Putting fingerprints into a model: methods, and :func:`embed` which runs one and checks its result."""

from insignia.embedding.base import METHODS, Method
from insignia.embedding.stage import MIN_FSR, EmbedReport, embed
from insignia.embedding.full import FullFineTune

__all__ = ["METHODS", "MIN_FSR", "EmbedReport", "FullFineTune", "Method", "embed"]
