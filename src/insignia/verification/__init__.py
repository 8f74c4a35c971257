"""Asking a model for its fingerprints. Needs neither torch nor the stages that made the mark."""

from insignia.verification.success import CheckReport, check
from insignia.verification.verdict import Verdict, judged_together
from insignia.verification.verify import judge, rules_for, verify

__all__ = ["CheckReport", "Verdict", "check", "judge", "judged_together", "rules_for", "verify"]
