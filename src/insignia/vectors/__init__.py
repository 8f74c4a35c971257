"""Fingerprint vectors (FP-VEC): the difference marked - base, which stamping adds to any model derived from the base.

The options load no torch.
"""

from typing import TYPE_CHECKING, Any

from insignia.registry import located

if TYPE_CHECKING:
    from insignia.vectors.extraction import vector
    from insignia.vectors.layout import VectorReport
    from insignia.vectors.saved import FingerprintVector
    from insignia.vectors.stamp_report import StampReport
    from insignia.vectors.stamping import stamp

__all__ = ["FingerprintVector", "StampReport", "VectorReport", "stamp", "vector"]

_HOMES = {
    "FingerprintVector": "saved",
    "StampReport": "stamp_report",
    "VectorReport": "layout",
    "stamp": "stamping",
    "vector": "extraction",
}


def __getattr__(name: str) -> Any:
    """What needs torch, when it is asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return located(f"{__name__}.{_HOMES[name]}:{name}")
