"""What stamping wrote, and what it cost."""

from insignia.records import Displayed
from insignia.terminal import size
from insignia.vectors.lineage import DERIVED

__all__ = ["StampReport"]


class StampReport(Displayed):
    """Result of ``stamp``."""

    out: str
    scale: float
    bytes: int
    """Size of the written tensors, in bytes."""
    tensors: int
    tensors_changed: int
    lineage_similarity: float
    """Lowest similarity of a layer to the base: near 1 for a derived model, near 0 for an unrelated one."""
    weights: dict[str, str]
    """File name -> BLAKE3 digest of each safetensors file."""
    notes: tuple[str, ...]
    seconds: float
    """Duration in seconds, without imports."""
    gigaparameters_per_second: float

    @property
    def derived(self) -> bool:
        """Whether every layer is similar enough to the base."""
        return self.lineage_similarity >= DERIVED

    @property
    def heading(self) -> str:
        """What was written."""
        return f"{self.out}: stamped at scale {self.scale:g}, {size(self.bytes)}"

    def summary(self) -> list[tuple[str, str]]:
        """What changed."""
        return [
            ("tensors changed", f"{self.tensors_changed} of {self.tensors}"),
            ("least similarity of a layer to the base", f"{self.lineage_similarity:.4f}"),
            ("time", f"{self.seconds:.2f} s, {self.gigaparameters_per_second:.2f} gigaparameters a second"),
        ]
