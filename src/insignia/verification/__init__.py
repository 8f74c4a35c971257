"""Testing a suspect: questions, matching, rules, transcript and verdict. Works without torch.

Which keys may be asked is decided in :mod:`insignia.keyring`.
"""

from insignia.verification.protocol import judge, rules_for, verify
from insignia.verification.success import CheckReport, check
from insignia.verification.together import judged_together
from insignia.verification.verdict import Verdict

__all__ = ["CheckReport", "Verdict", "check", "judge", "judged_together", "rules_for", "verify"]
