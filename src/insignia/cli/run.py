"""``insignia run``: a whole run from one file."""

import contextlib
from pathlib import Path
from typing import Annotated

import typer

from insignia.flags.fields import takes
from insignia.reporting.output import Output

__all__ = ["run"]

_NO_STEPS = {"demo", "init", "init run", "run", "issue", "licensees", "share", "publish", "lock", "unlock"}


@takes()
def run(
    file: Annotated[Path, typer.Argument(help="Run file: a section for each verb with its options; see 'insignia init run'.")],
    output: Output,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the steps and their commands, and run none.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace outputs that no run made, and sets and commitments.")] = False,
) -> None:
    """Run the steps of a file in the order of what they need; those whose output is current are skipped.

    A section is a verb with its options by the names of the flags. A step is current if its settings, the files that it reads
    and the version of insignia are those that its output was made with. The same command goes on after a stop. Paths in the
    file are relative to its folder. Exit status: the worst of the steps', where 1 is worst, then 3, then 4.

    Examples:
        insignia run mark.yaml --dry-run
        insignia run mark.yaml
    """
    from insignia.cli.main import VERBS, target
    from insignia.flags.deferred_verbs import command_of
    from insignia.registry import located
    from insignia.reporting.console import print_document
    from insignia.runs.engine import make, planned, worst
    from insignia.runs.run_files import needs, read_run
    from insignia.runs.stamps import Digests
    from insignia.runs.steps import Verb
    from insignia.runs.told import plan_report, run_report

    def verb_named(name: str) -> Verb:
        return Verb(name, located(target(name)), command_of(name, target(name)))

    path, progress = file.resolve(), output.progress()
    with contextlib.chdir(path.parent):
        found = read_run(path, [verb for verb in VERBS if verb not in _NO_STEPS], verb_named)
        digests = Digests()
        states = planned(found, digests, force=force)
        makers = {step.name: [other.name for other in needs(step, found.steps)] for step in found.steps}
        plan = plan_report(file.name, states, makers, commands=dry_run)
        if dry_run:
            output.finish(plan)
            return
        if not (output.as_json or output.quiet):
            print_document(plan)
        outcomes = make(found, digests, quiet=output.quiet, progress=progress)
    status = worst(outcomes)
    output.finish(run_report(file.name, found, outcomes, status), status)
