"""``insignia embed``: put fingerprints into a model."""

import signal
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ConfigDict, Field

from insignia.cli.console import Written, quiet_libraries, show_report
from insignia.cli.fields import Chosen, Parts, takes
from insignia.embedding import METHODS, Limits, Method, RunOptions
from insignia.errors import InputError
from insignia.modeling.families import FAMILIES, hub_id
from insignia.records import Flag, Record

__all__ = ["embed"]


class _Source(Record):
    """The model to be marked."""

    model_config = ConfigDict(title="Model")

    model: Annotated[str | None, Flag("--model", "--model-path")] = None
    """The model to be marked: folder, hub id or 'starter'."""
    model_family: Annotated[str | None, Field(examples=list(FAMILIES))] = None
    """Instead of --model: Eleuther, llama, llama-3.1, mistral, microsoft or gemma."""
    model_size: str | None = None
    """With --model-family: 7B, say."""

    def named(self) -> str:
        """The model, by its name or by its family and size."""
        if self.model is not None and self.model_family is None and self.model_size is None:
            return self.model
        if self.model is None and self.model_family is not None and self.model_size is not None:
            return hub_id(self.model_family, self.model_size)
        raise InputError("name the model either by --model or by --model-family and --model-size together")


class _Part(Record):
    """What of the set is embedded, and what is kept."""

    num_fingerprints: Annotated[int | None, Field(ge=1), Flag("--max-num-fingerprints", "--num-fingerprints")] = None
    """Embed only the first so many fingerprints. None: all."""
    private: Path | None = None
    """File for the owner weights, which are not published: needed by method adapter, optional for lora."""
    heldout: tuple[str, ...] | None = None
    """Text file to measure harm on. None: the text that comes with insignia."""


@takes("embedding", recipe="harmless")
def embed(
    prints: Annotated[Path, typer.Argument(help="Fingerprint file: ours, OML's or Perinucleus'.")],
    out: Annotated[Path, typer.Option("--output", "-o", help="Folder of the marked model; safe to publish.")],
    source: _Source,
    part: _Part,
    limits: Limits,
    run: RunOptions,
    method: Annotated[Chosen[Method], Parts(METHODS, "full", "Method")],
    written: Written,
) -> None:
    """Fine-tune a model until it answers the fingerprints and behaves the same everywhere else.

    Examples:
        insignia embed prints.json --model starter -o marked
        insignia embed prints.json --model starter -o marked --method lora --rank 8 --max-harm 1.02
    """
    from insignia.files import refuse_existing
    from insignia.fingerprints.sets import load_fingerprints

    refuse_existing(out, force=written.force)
    model, chosen, how = source.named(), load_fingerprints(prints), method.build()
    progress = written.progress()
    with progress.bar("starting"):
        quiet_libraries()
        from insignia.embedding import embed as mark
    try:
        marked = mark(model, chosen, how, out=out, **dict(part), limits=limits, run=run, force=written.force, progress=progress)
    except KeyboardInterrupt as stop:  # StoppedError is one
        kept = (out.parent / f".{out.name}.work").is_dir()
        progress.note("stopped; " + ("the same command with --resume goes on" if kept else "nothing was written"))
        raise typer.Exit(128 + getattr(stop, "signal_number", signal.SIGINT)) from None
    after = f"Safe to publish. Next: insignia check {prints} --model {out}"
    written.tell(marked.report, lambda: show_report(marked.report, *marked.report.notes, after))
