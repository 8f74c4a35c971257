"""``insignia verify``: a few questions to a suspect, and a verdict."""

from pathlib import Path
from typing import Annotated

import typer

from insignia.errors import InputError
from insignia.flags.asked_models import ControlFlags, EvidenceFlags, SuspectFlags
from insignia.flags.fields import takes
from insignia.keyring.options import VerifyOptions
from insignia.modeling.placement import Placement
from insignia.reporting.output import Reported
from insignia.suspects.retry_policy import RetryPolicy

__all__ = ["verify"]


@takes("verify")
def verify(
    prints: Annotated[list[Path], typer.Argument(help="Fingerprint file. Several: all are asked, and share alpha.")],
    who: SuspectFlags,
    options: VerifyOptions,
    evidence: EvidenceFlags,
    controls: ControlFlags,
    network: RetryPolicy,
    placement: Placement,
    output: Reported,
) -> None:
    """Ask a suspect a few keys, as evidence ('check' measures a model of yours). Status 0: proven; 3: not shown; 4: open.

    Examples:
        insignia verify prints.json --model stamped
        insignia verify prints.json --endpoint http://localhost:8000/v1 --name theirs --transcript theirs.jsonl
    """
    from insignia.files import read_paragraphs
    from insignia.keyring.keyring import Keyring
    from insignia.reporting.verdicts import exit_status, verdicts_report

    who.refuse_contradictions()
    asked = who.given
    if not (asked or evidence.transcript):
        raise InputError("there is no suspect; give --model, or --endpoint and --name, or the --transcript of an earlier run")
    if options.log_probabilities is not None and who.endpoint is None:
        raise InputError("--log-probabilities is for --endpoint; for a model on this machine, 'check' tells ranks")
    others = controls.open(network, placement)
    if others and not asked:
        raise InputError("a control is asked what a suspect was asked in the same run; name the suspect, too")
    output.refuse_output()
    ring = Keyring.open(*prints)
    if asked:
        verdicts = ring.verify_all(
            who.open(network, placement),
            options,
            transcripts=evidence.transcript,
            controls=others,
            challenge=evidence.judge_challenge(),
            decoy_texts=read_paragraphs(evidence.decoy_file) if evidence.decoy_file is not None else [],
            progress=output.progress(),
        )
    else:
        verdicts = ring.judge(evidence.transcript)
    status = exit_status(*(verdict.outcome for verdict in verdicts))
    output.finish(verdicts_report(verdicts, spent=bool(who.name or who.suspect)), status)
