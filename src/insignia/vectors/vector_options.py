"""How a vector is stored, and how much of it a stamp adds: options that need no torch."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from insignia.errors import InputError
from insignia.fingerprints.sets import load_fingerprints
from insignia.modeling.placement import Device
from insignia.progress import Progress
from insignia.records import Record, Share

if TYPE_CHECKING:
    from insignia.vectors.scale import ScaleTrial

__all__ = ["StampOptions", "VectorOptions"]

_MIN_FSR = 0.95  # as ``embed`` asks for


class VectorOptions(Record):
    """What of the difference is stored, and how: keyword arguments of ``insignia.vector``."""

    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Number format of the stored differences. float32 is exact."""
    rank: Annotated[int | None, Field(ge=1)] = None
    """Store each matrix as its best approximation of this rank. None: whole."""
    factors: Path | None = None
    """Owner weights of method lora or blocks. Their factors are the vector, with nothing lost."""
    skip_embeddings: bool = False
    """Leave out tensors with a row for each token, so that siblings with other tokens fit."""
    unrelated: bool = False
    """Go on although the weights show that the model does not come from the base."""
    stream: bool = False
    """Read a hub model's weights from the hub when they are needed, and keep no copy."""
    resume: bool = False
    """Go on with a run that was stopped."""

    def refuse_contradictions(self) -> None:
        """Raise InputError where the options do not go together."""
        if self.rank is not None and self.factors is not None:
            raise InputError("--rank and --factors both say how matrices are stored; factors have a rank of their own")


class StampOptions(Device):
    """How much of the vectors is added."""

    scale: float | Literal["auto"] = 1.0
    """Factor of the vectors. A negative one removes a mark; auto is the smallest that works."""
    fingerprints: Path | None = None
    """With --scale auto: the fingerprints to ask for."""
    min_fsr: Share = _MIN_FSR
    """With --scale auto: the success rate to reach."""
    heldout: Annotated[tuple[str, ...] | None, Field(repr=False)] = None
    """With --scale auto: text file to measure harm on. None: Python's documentation."""
    unrelated: bool = False
    """Go on although the weights show that the model does not come from the base."""
    stream: bool = False
    """Read a hub model's weights from the hub when they are needed, and keep no copy."""
    resume: bool = False
    """Go on with a run that was stopped."""

    def refuse_contradictions(self, *, kept: bool) -> None:
        """Raise InputError where the options do not go together. ``kept``: whether a folder holds the result."""
        if not kept and (self.resume or self.scale == "auto"):
            raise InputError("without --output no file is kept: there is nothing to --resume, and no place for --scale auto")
        if self.stream and self.scale == "auto":
            raise InputError("--scale auto loads the model, so --stream cannot help; give a number, or drop --stream")
        if (self.scale == "auto") != (self.fingerprints is not None):
            raise InputError("--scale auto and --fingerprints FILE go together")

    def settle(
        self, model: str, vectors: Sequence[Path], *, near: Path | None, progress: Progress
    ) -> "tuple[float, list[ScaleTrial]]":
        """The scale, and for ``auto`` what was found of those that were tried."""
        if self.scale != "auto" or self.fingerprints is None or near is None:
            return float(self.scale), []
        from insignia.vectors.scale import find_scale, smallest  # noqa: PLC0415  with torch

        trials = find_scale(
            model,
            *vectors,
            prints=load_fingerprints(self.fingerprints),
            heldout=self.heldout,
            min_fsr=self.min_fsr,
            near=near,
            device=self.device,
            unrelated=self.unrelated,
            progress=progress,
        )
        return smallest(trials, self.min_fsr), trials
