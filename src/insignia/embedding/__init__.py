"""Putting fingerprints into a model: methods, and :func:`embed` which runs one and checks its result.

A method is a record that loads no torch until it embeds.
"""

from typing import TYPE_CHECKING, Any

from insignia.embedding.base import METHODS, Method, Portion, RunOptions
from insignia.embedding.blocks import Blocks
from insignia.embedding.embed_report import EmbedReport
from insignia.embedding.embedding_adapter import AdapterTune
from insignia.embedding.full import EmbeddingTune, FullFineTune, SupervisedFineTune
from insignia.embedding.limits import MAX_HARM, MIN_FSR, Limits
from insignia.embedding.low_rank import LoRA

if TYPE_CHECKING:
    from insignia.embedding.marked import MarkedModel
    from insignia.embedding.marking import embed

__all__ = [
    "MAX_HARM",
    "METHODS",
    "MIN_FSR",
    "AdapterTune",
    "Blocks",
    "EmbedReport",
    "EmbeddingTune",
    "FullFineTune",
    "Limits",
    "LoRA",
    "MarkedModel",
    "Method",
    "Portion",
    "RunOptions",
    "SupervisedFineTune",
    "embed",
]


def __getattr__(name: str) -> Any:
    """What needs torch, when it is asked for."""
    if name not in ("MarkedModel", "embed"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from insignia.embedding import marking

    return getattr(marking, name)
