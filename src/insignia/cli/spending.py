"""The ledger of a set as a run of ``verify`` uses it."""

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from insignia.fingerprints.sets import FingerprintSet

__all__ = ["Spending"]


class Spending(NamedTuple):
    """The ledger of a set as a run uses it. A model at hand shows keys to nobody and needs none."""

    path: Path
    prints: "FingerprintSet"
    reuse: bool
    """Keys that somebody has seen may be asked."""

    def spent(self) -> frozenset[int]:
        """Numbers of the fingerprints that are not to be asked."""
        from insignia.keyring import ledger

        return frozenset() if self.reuse else ledger.spent(self.path, self.prints)

    def showing_to(self, suspect: str) -> "Callable[[Sequence[int]], None]":
        """What records keys as shown to that suspect."""
        from insignia.keyring import ledger

        return lambda numbers: ledger.record(self.path, self.prints, numbers, to=suspect)

    def warning(self) -> str | None:
        """A note where few keys are left."""
        from insignia.keyring import ledger

        left = len(self.prints) - len(ledger.spent(self.path, self.prints))
        if left >= ledger.FEW_LEFT:
            return None
        return f"{left} keys are left that nobody has seen; below {ledger.FEW_LEFT}, it is time for a new set."
