"""Fingerprint vectors: marked minus base, added to any derivative of the base at the speed of the disk (FP-VEC)."""

from insignia.stamping.extraction import Difference, VectorReport
from insignia.stamping.stage import StampReport, stamp
from insignia.stamping.vector import FingerprintVector

__all__ = ["Difference", "FingerprintVector", "StampReport", "VectorReport", "stamp"]
