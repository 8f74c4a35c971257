"""``insignia audit``: an evidence bundle re-checked offline, by anybody."""

from pathlib import Path
from typing import Annotated

import typer

from insignia.evidence.judge import Judge
from insignia.evidence.standard import Standard
from insignia.flags.fields import takes
from insignia.reporting.output import Reported

__all__ = ["audit"]


@takes()
def audit(
    bundle: Annotated[Path, typer.Argument(help="What 'insignia disclose' wrote.")],
    judge: Judge,
    standard: Standard,
    output: Reported,
) -> None:
    """Check openings, signature, transcript, matching and p-value; status 1 if anything does not hold, else the verdict's.

    An accusation of a licensee is checked alike: code word, biases, keys, replies and evidence, computed again.

    You decide what suffices: where the owner's choices fall short of it, nothing is decided (status 4), and you are told why.

    Examples:
        insignia audit evidence.json --commitment commitment.json
        insignia audit evidence.json --commitment commitment.json -o audit.html
    """
    from insignia.evidence.bundle import audit as check
    from insignia.files import read_bytes
    from insignia.reporting.audits import audit_report
    from insignia.reporting.verdicts import exit_status

    output.refuse_output()
    standard, published, content = judge.accepting(standard), judge.published(), read_bytes(bundle)
    if b'"kind":"insignia/accusation"' in content[:-1]:
        _accusation(content, bundle, judge, standard, output)
        return
    found = check(content, published=published, nonce=judge.challenge, standard=standard)
    stamped = judge.stamped(found.bundle)
    document = audit_report(found, str(bundle), stamped=stamped, standard=standard, published=published is not None)
    output.finish(document, exit_status(found.judgement.outcome))


def _accusation(content: bytes, name: Path, judge: Judge, standard: Standard, output: Reported) -> None:
    from insignia.licensing.accusation import audit_accusation
    from insignia.licensing.commitments import CodeCommitment
    from insignia.reporting.licensing import accusation_report
    from insignia.reporting.verdicts import exit_status

    codes = None if judge.codes is None else CodeCommitment.load(judge.codes)
    found = audit_accusation(
        content, published=judge.published(), codes=codes, alpha=standard.alpha, any_manner=standard.any_manner
    )
    document = accusation_report(found, str(name), published=judge.commitment is not None and codes is not None)
    output.finish(document, exit_status(found.outcome))
