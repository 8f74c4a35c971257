"""Asking a model for its fingerprints. Needs neither torch nor the stages that made the mark."""

from insignia.verification.success import CheckReport, check

__all__ = ["CheckReport", "check"]
