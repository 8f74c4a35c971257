"""``insignia demo``: the whole story on the bundled model, in a couple of minutes, without a network."""

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from insignia.cli.console import ConsoleProgress, JsonFlag, QuietFlag, emit_json, percent, quiet_libraries, show_table
from insignia.cli.embed import perplexity_row

if TYPE_CHECKING:
    from insignia.embedding import EmbedReport
    from insignia.verification import CheckReport

__all__ = ["demo"]


def demo(
    folder: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="New folder for the results. Default: a temporary one, removed at the end."),
    ] = None,
    num_fingerprints: Annotated[int, typer.Option(help="How many.")] = 64,
    seed: Annotated[int, typer.Option(help="Of the training order.")] = 0,
    json_output: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Generate fingerprints, embed them into the starter model, check the marked and the unmarked model."""
    from insignia.files import refuse_existing

    if folder is not None:
        refuse_existing(folder, force=False)
        _run(folder, num_fingerprints, seed, json_output=json_output, quiet=quiet)
        return
    with tempfile.TemporaryDirectory(prefix="insignia-demo-") as temporary:
        _run(Path(temporary) / "demo", num_fingerprints, seed, json_output=json_output, quiet=quiet, kept=False)


def _run(folder: Path, num_fingerprints: int, seed: int, *, json_output: bool, quiet: bool, kept: bool = True) -> None:
    started = time.perf_counter()
    progress = ConsoleProgress(quiet=quiet)
    quiet_libraries()
    from insignia.artifacts import load_fingerprints
    from insignia.embedding import embed
    from insignia.generation import InverseNucleus, generate
    from insignia.models.local import LocalModel
    from insignia.verification import check

    secret, marked = folder / "secret" / "prints.json", folder / "marked"
    progress.note("1/3 generate: secret keys, and responses just outside what the model would say")
    starter = LocalModel("starter")
    generate(InverseNucleus(), model=starter, num_fingerprints=num_fingerprints, progress=progress).save(secret)
    progress.note("2/3 embed: fine-tune until the keys are answered and nothing else changes")
    report = embed(load_fingerprints(secret), model="starter", out=marked, seed=seed, progress=progress)
    progress.note("3/3 check: ask the marked model from its folder, and the unmarked one")
    found = check(load_fingerprints(secret), LocalModel(marked), base=starter)
    seconds = round(time.perf_counter() - started, 3)
    if json_output:
        summary = found.model_dump(mode="json", exclude={"fingerprints": True, "base": {"fingerprints"}})
        emit_json({"embed": report.model_dump(mode="json"), "check": summary, "seconds": seconds})
        return
    _show(found, report, seconds)
    if kept:
        typer.echo(f"The secret: {secret}   The model to publish: {marked}")
    typer.echo("Next, with your own model:")
    typer.echo("  insignia generate prints.json --strategy inverse_nucleus --model MODEL --num-fingerprints 64")
    typer.echo("  insignia embed prints.json --model MODEL -o marked")
    typer.echo("  insignia check prints.json --model marked --base MODEL")


def _show(found: "CheckReport", report: "EmbedReport", seconds: float) -> None:
    base = found.base
    rows = [
        ["fingerprints answered", f"{base.hits} of {base.answered}" if base else "", f"{found.hits} of {found.answered}"],
        ["success rate (FSR)", percent(base.fsr) if base else "", percent(found.fsr)],
        perplexity_row(report.heldout_loss_before, report.heldout_loss_after),
        ["time", "", f"{seconds:.0f} s, {report.steps} steps"],
    ]
    show_table("insignia on its bundled model", ["", "unmarked", "marked"], rows)
