"""Where a model runs, and in what numbers: the options that commands and functions share. Loads no torch."""

from typing import TYPE_CHECKING, Annotated

from pydantic import ConfigDict, Field

from insignia.records import Record

if TYPE_CHECKING:
    from insignia.modeling.local import LocalModel

__all__ = ["Asking", "Device", "Placement", "Seeded"]


class Device(Record):
    """Where a model runs."""

    model_config = ConfigDict(title="Model")

    device: Annotated[str, Field(examples=["auto", "cpu", "cuda", "cuda:1", "mps"])] = "auto"
    """Device that the model runs on: auto, cpu, cuda, cuda:1 or mps."""


class Asking(Device):
    """Where a model runs that is only asked."""

    device: Annotated[str, Field(examples=["auto", "cpu", "cuda", "cuda:1", "mps", "all"])] = "auto"
    """Device that the model runs on: auto, cpu, cuda, cuda:1, mps, or all, which spreads a model that none of them holds."""


class Placement(Asking):
    """Where a model runs, and in what numbers."""

    dtype: Annotated[str, Field(examples=["auto", "checkpoint", "float32", "bfloat16", "float16"])] = "auto"
    """Number format of the weights: float32 (fp32), bfloat16 (bf16), float16 (fp16), checkpoint (as stored), or auto: float32
    on a CPU, else as stored."""

    def open(self, source: str) -> "LocalModel":
        """Load a model."""
        from insignia.modeling.local import LocalModel  # noqa: PLC0415  with torch

        return LocalModel(source, **self.where())

    def where(self) -> dict[str, str]:
        """Keyword arguments of ``LocalModel``."""
        return {"device": self.device, "dtype": self.dtype}


class Seeded(Device):
    """Where a run takes place, and its chance."""

    seed: int = 0
    """Seed of all that a run leaves to chance, so that it can be repeated."""
