"""Fingerprint vectors: marked minus base, added to any derivative of the base at the speed of the disk (FP-VEC)."""

from insignia.vectors.extraction import Difference, VectorReport
from insignia.vectors.stamping import StampReport, stamp
from insignia.vectors.vector import FingerprintVector

__all__ = ["Difference", "FingerprintVector", "StampReport", "VectorReport", "stamp"]
