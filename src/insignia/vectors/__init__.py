"""Fingerprint vectors (FP-VEC): the difference marked - base, which stamping adds to any model derived from the base."""

from insignia.vectors.extraction import vector
from insignia.vectors.layout import VectorReport
from insignia.vectors.saved import FingerprintVector
from insignia.vectors.stamping import StampReport, stamp

__all__ = ["FingerprintVector", "StampReport", "VectorReport", "stamp", "vector"]
