"""One fingerprint set of a keyring: its label, its file, and the ledger of its spent keys."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from insignia.errors import InputError
from insignia.fingerprints.sets import FingerprintSet
from insignia.keyring import ledger
from insignia.statistics.forecasts import Lost
from insignia.statistics.nulls import AnyNull
from insignia.terminal import counted
from insignia.verification.protocol import askable, default_null

__all__ = ["KeptSet"]


class KeptSet(NamedTuple):
    """A fingerprint set as its owner keeps it. One that is in memory alone has no path, and no ledger."""

    label: str
    prints: FingerprintSet
    path: Path | None = None

    def spent(self) -> frozenset[int]:
        """Numbers of the keys that somebody was shown."""
        return frozenset() if self.path is None else ledger.spent(self.path, self.prints)

    def unspent(self) -> frozenset[int]:
        """Numbers of the keys that may still be asked."""
        return askable(self.prints) - self.spent()

    def record(self, numbers: Iterable[int], *, to: str) -> None:
        """Write these keys down as shown to ``to``, before they leave.

        Raises:
            InputError: the set was not saved, so there is no ledger.
            OutputError: the ledger cannot be written.
        """
        if self.path is None:
            raise InputError(
                "keys that others see are recorded in a ledger beside the set, and this set is in memory alone; "
                "save it, then open it by Keyring.open(path)"
            )
        ledger.record(self.path, self.prints, numbers, to=to)

    def shortage(self) -> str | None:
        """A warning where few unspent keys are left."""
        left = len(self.unspent())
        if left >= ledger.FEW_LEFT:
            return None
        return f"{counted(left, 'key')} left that nobody has seen; below {ledger.FEW_LEFT}, it is time for a new set."

    def share(self, count: int, *, to: str) -> FingerprintSet:
        """A part of the set for ``to`` alone; see ``ledger.share``."""
        if self.path is None:
            raise InputError("a set in memory has no ledger to record a share in; save it, then open it by Keyring.open(path)")
        return ledger.share(self.path, self.prints, count, to=to)

    def null(self) -> AnyNull | None:
        """The null that holds by the set's design; None where its responses were not drawn from candidates."""
        return default_null(self.prints)

    def lost(self, null: AnyNull) -> Lost:
        """What a model is likely to say where it lost a fingerprint of this set.

        ``silent`` where no candidate was the first choice of the model that ranked them, as in inverse-nucleus sets: a model
        says its first choice. Where that is not known, the cautious ``random``. Without candidates a loss is a miss.
        """
        candidates = (candidate for fingerprint in self.prints for candidate in fingerprint.candidates or ())
        return "silent" if null.name != "design" or all(candidate.rank for candidate in candidates) else "random"
