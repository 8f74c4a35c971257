"""A committed set and a test of a marked model by a judge's challenge, for tests of the evidence it gives."""

import importlib.util
from pathlib import Path

from insignia.evidence.challenge import challenge_order
from insignia.fingerprints.sets import provenance
from insignia.suspects.base import Reply
from insignia.verification.protocol import rules_for
from insignia.verification.transcript import Header, Transcript

NONCE = "drawn by the judge: 8c1f07"
AUDIT_SCRIPT = Path(__file__).resolve().parents[1] / "tools" / "audit.py"


def _script():
    spec = importlib.util.spec_from_file_location("independent_audit", AUDIT_SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


independent_audit = _script().audit


def ask(prints, replies, file, *, order=None, root=None, nonce=NONCE, rules=None, count=8):
    """Ask ``count`` keys in that order, or the challenge's, with a cover question before every third; replies by number."""
    order = order or challenge_order(root, nonce, len(prints))
    transcript = Transcript(Header(suspect="api", rules=rules or rules_for(prints), provenance=provenance()), file=file)
    for place, number in enumerate(order[:count]):
        if place % 3 == 0:
            transcript.append(None, f"What is {place} and {place}?", Reply.said("Well."))
        transcript.append(number, prints.fingerprints[number].key, replies(number))
    return file
