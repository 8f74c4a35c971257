"""Fingerprint vectors: marked minus base, added to any derivative of the base at the speed of the disk (FP-VEC)."""

from insignia.vectors.extraction import VectorReport, vector
from insignia.vectors.saved import FingerprintVector
from insignia.vectors.stamping import StampReport, stamp

__all__ = ["FingerprintVector", "StampReport", "VectorReport", "stamp", "vector"]
