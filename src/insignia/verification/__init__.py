"""Asking a suspect: questions, matching, the rules of a test, the transcript, the verdict.

Needs neither torch nor the stages that made the mark. Which keys may be asked is :mod:`insignia.keyring`'s to say.
"""

from insignia.verification.protocol import judge, rules_for, verify
from insignia.verification.success import CheckReport, check
from insignia.verification.verdict import Verdict, judged_together

__all__ = ["CheckReport", "Verdict", "check", "judge", "judged_together", "rules_for", "verify"]
