"""The files of a vector's folder: ``vector.json``, the differences as safetensors, a sketch of the base, its vocabulary.

``docs/reference/formats.md`` describes every field.
"""

import math
from typing import Annotated, Literal

from pydantic import Field

from insignia.checkpoints import LEFT, RIGHT
from insignia.errors import InputError
from insignia.records import Displayed, Provenance, Record
from insignia.terminal import size

__all__ = ["FILE", "SKETCH", "VOCABULARY", "StoredDtype", "TensorChange", "VectorFile", "VectorReport", "stored_dtype"]

StoredDtype = Literal["float32", "bfloat16", "float16"]

FILE = "vector.json"
SKETCH = "sketch/base.safetensors"  # in its own folder, because it is not a shard
VOCABULARY = "vocabulary.json"


class TensorChange(Record):
    """The change of one tensor."""

    shape: tuple[int, ...]
    base: str
    """Digest of the base's bytes."""
    marked: str
    """Digest of the marked model's bytes."""
    norm: float = 0.0
    """Euclidean norm of the difference."""
    stored: bool = False
    """Whether the difference is in the vector."""
    rank: int | None = None
    """Rank of the factors. None: the whole difference is stored."""

    def parts(self, name: str) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the stored tensors: the difference, or its two factors."""
        if self.rank is None:
            return {name: self.shape}
        return {name + LEFT: (math.prod(self.shape[:-1]), self.rank), name + RIGHT: (self.rank, self.shape[-1])}


class VectorFile(Record):
    """``vector.json``: everything about a vector except its numbers; no fingerprints."""

    kind: Literal["insignia/vector"] = "insignia/vector"
    schema_version: Literal[1] = 1
    dtype: StoredDtype
    """Dtype of the stored differences, which are computed in fp32."""
    rank: int | None = None
    energy_kept: float = 1.0
    """Share of the squared norm that truncation to ``rank`` kept."""
    blocks: Annotated[int, Field(ge=1)] | None = None
    """Number of blocks that every rank is divided into, each of which can be stamped alone; None: one whole."""
    skip_embeddings: bool = False
    similarity: float
    """Lowest similarity of a layer of the marked model to the base."""
    layers: dict[str, float]
    """Layer -> norm of its difference."""
    tensors: dict[str, TensorChange]
    """Every tensor of the base."""
    provenance: Provenance | None = None


def stored_dtype(name: str) -> StoredDtype:
    """The dtype of that name, else an InputError."""
    if name == "float32":
        return "float32"
    if name == "bfloat16":
        return "bfloat16"
    if name == "float16":
        return "float16"
    raise InputError(f"unknown dtype {name!r}; expected float32, bfloat16 or float16")


class VectorReport(Displayed):
    """What extraction wrote, and what it cost."""

    out: str
    bytes: int
    """Size of the stored differences, in bytes."""
    tensors: int
    tensors_changed: int
    tensors_stored: int
    norm: float
    """Norm of the stored differences, before they were rounded or truncated."""
    energy_kept: float
    lineage_similarity: float
    seconds: float
    """Time to read, subtract, hash and write; imports apart."""
    gigaparameters_per_second: float

    @property
    def heading(self) -> str:
        """Where it is, and that it is a secret."""
        return f"{self.out}: a vector of {size(self.bytes)}; keep it secret, it removes the mark, too"

    def summary(self) -> list[tuple[str, str]]:
        """What changed."""
        return [
            ("tensors stored", f"{self.tensors_stored} of {self.tensors}, {self.tensors_changed} changed"),
            ("norm of the difference", f"{self.norm:.4g}"),
            ("energy kept", f"{100 * self.energy_kept:.2f} %"),
            ("least similarity of a layer", f"{self.lineage_similarity:.4f}"),
            ("time", f"{self.seconds:.2f} s, {self.gigaparameters_per_second:.2f} gigaparameters a second"),
        ]
