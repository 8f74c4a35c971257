"""``insignia embed``: put fingerprints into a model."""

import signal
from pathlib import Path
from typing import Annotated

import typer

from insignia.embedding import METHODS, Limits, Method, Portion, RunOptions
from insignia.flags.fields import Chosen, Parts, takes
from insignia.modeling.families import NamedModel
from insignia.publishing.push_flags import PushFlags
from insignia.reporting.output import Written
from insignia.terminal import command_line

__all__ = ["embed"]


@takes("embedding", recipe="harmless")
def embed(
    prints: Annotated[Path, typer.Argument(help="Fingerprint file: ours, OML's or Perinucleus'.")],
    out: Annotated[Path, typer.Option("--output", "-o", help="Folder of the marked model; safe to publish.")],
    source: NamedModel,
    part: Portion,
    limits: Limits,
    run: RunOptions,
    method: Annotated[Chosen[Method], Parts(METHODS, "full", "Method")],
    hub: PushFlags,
    written: Written,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what it takes: memory, disk, steps.")] = False,
) -> None:
    """Fine-tune a model until it answers the fingerprints and behaves the same everywhere else.

    Examples:
        insignia embed prints.json --model starter -o marked
        insignia embed prints.json --model starter -o marked --method lora --rank 8 --max-harm 1.02
        insignia embed prints.json --model starter -o marked --precision bfloat16 --optimizer-states 8bit --dry-run
    """
    from insignia.fingerprints.sets import load_fingerprints
    from insignia.reporting.base import report_of
    from insignia.reporting.publications import with_publication

    written.refuse_folder(out)
    hub.refuse_push()
    model, chosen, how = source.named(), load_fingerprints(prints), method.build()
    progress = written.progress()
    if dry_run:
        from insignia.embedding.requirements import needs_of

        written.finish(report_of(needs_of(model, how, chosen.first(part.num_fingerprints))))
        return
    with progress.bar("starting"):
        from insignia.embedding import embed as mark
        from insignia.embedding.working_folder import folder_beside
    try:
        where = {"out": out, **dict(part)}
        marked = mark(model, chosen, how, **where, limits=limits, run=run, card=hub, force=written.force, progress=progress)
        published = hub.push(out, force=written.force, progress=progress)
    except KeyboardInterrupt as stop:  # StoppedError is one
        kept = folder_beside(out).is_dir()
        progress.note("stopped; " + ("the same command with --resume goes on" if kept else "nothing was written"))
        raise typer.Exit(128 + getattr(stop, "signal_number", signal.SIGINT)) from None
    next_step = f"Safe to publish. Next: {command_line('insignia', 'check', prints, '--model', out)}"
    written.finish(with_publication(report_of(marked.report, *marked.report.notes, next_step), published))
