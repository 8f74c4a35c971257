"""Fingerprint vectors: marked minus base, added to any derivative of the base at the speed of the disk (FP-VEC)."""

from insignia.vectors.extraction import vector
from insignia.vectors.layout import VectorReport
from insignia.vectors.saved import FingerprintVector
from insignia.vectors.stamping import StampReport, stamp

__all__ = ["FingerprintVector", "StampReport", "VectorReport", "stamp", "vector"]
