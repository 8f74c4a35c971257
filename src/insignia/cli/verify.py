"""``insignia verify``: a few questions to a suspect, and a verdict."""

from pathlib import Path
from typing import Annotated

import typer
from pydantic import ConfigDict

from insignia.cli.console import ConsoleProgress, Written, read_paragraphs
from insignia.cli.fields import takes
from insignia.cli.options import refuse_report
from insignia.cli.suspects import ControlFlags, SuspectFlags
from insignia.cli.verdicts import report
from insignia.errors import InputError
from insignia.evidence.publication import SignedCommitment
from insignia.keyring.keyring import Keyring
from insignia.keyring.options import VerifyOptions
from insignia.modeling.placement import Placement
from insignia.records import Flag, Record
from insignia.suspects.retry_policy import RetryPolicy

__all__ = ["verify"]


class _Evidence(Record):
    """What makes a test evidence for others."""

    model_config = ConfigDict(title="Evidence")

    transcript: Annotated[tuple[Path, ...], Flag(many=True)] = ()
    """Record of a suspect's replies, which a killed run continues from; one for each suspect. Without a suspect: judge it."""
    challenge: str | None = None
    """Nonce of a judge, which chooses the keys together with the root of --commitment."""
    commitment: Path | None = None
    """With --challenge: what 'insignia commit' wrote."""
    decoy_file: Annotated[Path | None, Flag("--decoy-file", "--cover-file")] = None
    """Text file of your own decoy questions, separated by blank lines."""

    def judge_challenge(self) -> tuple[str, SignedCommitment] | None:
        """The nonce and the commitment that it goes with, if there are any."""
        if self.challenge is None and self.commitment is None:
            return None
        if self.challenge is None or self.commitment is None:
            raise InputError("--challenge and --commitment belong together: a judge's nonce, and what 'insignia commit' wrote")
        return self.challenge, SignedCommitment.load(self.commitment)


class _Output(Written):
    """Where the verdict goes."""

    output: Annotated[Path | None, Flag("--output", "-o")] = None
    """File for the verdict, as with --json."""


@takes("verify")
def verify(
    prints: Annotated[list[Path], typer.Argument(help="Fingerprint file. Several: all are asked, and share alpha.")],
    who: SuspectFlags,
    options: VerifyOptions,
    evidence: _Evidence,
    controls: ControlFlags,
    network: RetryPolicy,
    placement: Placement,
    output: _Output,
) -> None:
    """Ask a suspect a few keys, as evidence ('check' measures a model of yours). Status 0: proven; 3: not shown; 4: open.

    Examples:
        insignia verify prints.json --model stamped
        insignia verify prints.json --endpoint http://localhost:8000/v1 --name theirs --transcript theirs.jsonl
    """
    who.refuse_contradictions()
    asked = who.given
    if not (asked or evidence.transcript):
        raise InputError("there is no suspect; give --model, or --endpoint and --name, or the --transcript of an earlier run")
    if options.log_probabilities is not None and who.endpoint is None:
        raise InputError("--log-probabilities is for --endpoint; for a model on this machine, 'check' tells ranks")
    others = controls.open(network, placement)
    if others and not asked:
        raise InputError("a control is asked what a suspect was asked in the same run; name the suspect, too")
    refuse_report(output.output, force=output.force)
    ring = Keyring.open(*prints)
    if asked:
        verdicts = ring.verify_all(
            who.open(network, placement),
            options,
            transcripts=evidence.transcript,
            controls=others,
            challenge=evidence.judge_challenge(),
            decoy_texts=read_paragraphs(evidence.decoy_file) if evidence.decoy_file is not None else [],
            progress=ConsoleProgress(quiet=output.quiet),
        )
    else:
        verdicts = ring.judge(evidence.transcript)
    report(verdicts, output.output, shown=bool(who.name), json_output=output.as_json)
