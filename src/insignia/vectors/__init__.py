"""Fingerprint vectors (FP-VEC): the difference marked - base, which stamping adds to any model derived from the base."""

from insignia.vectors.extraction import Difference, VectorReport
from insignia.vectors.stamping import StampReport, stamp
from insignia.vectors.vector import FingerprintVector

__all__ = ["Difference", "FingerprintVector", "StampReport", "VectorReport", "stamp"]
