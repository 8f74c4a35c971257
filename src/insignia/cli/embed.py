"""``insignia embed``: put fingerprints into a model."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import ConfigDict, Field

from insignia.cli.console import Written, percent, quiet_libraries, say, show_table
from insignia.cli.fields import Chosen, Parts, takes
from insignia.embedding import METHODS, Limits, Method, RunOptions
from insignia.errors import InputError
from insignia.modeling.families import FAMILIES, hub_id
from insignia.records import Flag, Record

if TYPE_CHECKING:
    from insignia.embedding import EmbedReport

__all__ = ["embed", "perplexity_row"]


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
    quiet_libraries()
    from insignia.embedding import embed as mark

    marked = mark(
        model, chosen, how, out=out, **dict(part), limits=limits, run=run, force=written.force, progress=written.progress()
    )
    written.tell(marked.report, lambda: _show(marked.report, model, prints))


def _show(report: "EmbedReport", source: str, prints: Path) -> None:
    rows = [
        ["success rate (FSR)", percent(report.base_fsr), percent(report.fsr)],
        *([f"activated by {kind.replace('_', ' ')}s", "", percent(rate)] for kind, rate in report.activations.items()),
        perplexity_row(report.heldout_loss_before, report.heldout_loss_after),
        perplexity_row(report.own_loss_before, report.own_loss_after, of="perplexity on its own text"),
    ]
    title = f"{report.num_fingerprints} fingerprints in {source}"
    show_table(title, ["", "before", "after"], rows, caption="\n".join(report.notes) or None)
    say(
        f"{report.out}: {report.steps} steps, {report.seconds:.0f} s. Safe to publish; "
        f"next: insignia check {prints} --model {report.out}"
    )


def perplexity_row(before: float, after: float, *, of: str = "held-out perplexity") -> list[str]:
    """A table row of perplexity before and after, with the ratio."""
    return [of, f"{math.exp(before):.2f}", f"{math.exp(after):.2f} (x{math.exp(after - before):.4f})"]
