"""``insignia stamp``: carry a mark over to a sibling, without training."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from insignia.cli.console import (
    ConsoleProgress,
    ForceFlag,
    JsonFlag,
    QuietFlag,
    UnrelatedFlag,
    emit_json,
    percent,
    quiet_libraries,
    read_paragraphs,
    show_table,
    size,
)
from insignia.cli.options import as_share
from insignia.errors import InputError

if TYPE_CHECKING:
    from insignia.vectors import StampReport
    from insignia.vectors.scale import ScaleTrial

__all__ = ["stamp"]


def stamp(
    model: Annotated[str, typer.Argument(help="A model derived from the vector's base: folder, hub id or 'starter'.")],
    vectors: Annotated[list[Path], typer.Argument(help="Folders made by 'insignia vector'; several are added up.")],
    out: Annotated[Path, typer.Option("--output", "-o", help="Folder of the stamped model; safe to publish.")],
    scale: Annotated[
        str, typer.Option(help="Factor of the vectors; negative removes a mark; auto: the smallest that works.")
    ] = "1",
    fingerprints: Annotated[Path | None, typer.Option(help="With --scale auto: the fingerprints to ask for.")] = None,
    min_fsr: Annotated[float, typer.Option(callback=as_share, help="With --scale auto: the success rate to reach.")] = 0.95,
    heldout: Annotated[
        Path | None, typer.Option(help="With --scale auto: text file to measure harm on. Default: Python's documentation.")
    ] = None,
    device: Annotated[str, typer.Option(help="With --scale auto: auto, cpu, cuda, ...")] = "auto",
    unrelated: UnrelatedFlag = False,
    force: ForceFlag = False,
    json_output: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Add a vector to a sibling, at the speed of the disk."""
    from insignia.files import refuse_existing

    refuse_existing(out, force=force)
    factor = _factor(scale)
    if (factor is None) != (fingerprints is not None):
        raise InputError("--scale auto and --fingerprints FILE go together")
    progress = ConsoleProgress(quiet=quiet)
    quiet_libraries()
    from insignia.fingerprints.sets import load_fingerprints
    from insignia.vectors import stamp as run
    from insignia.vectors.scale import find_scale, smallest

    trials: list[ScaleTrial] = []
    if factor is None and fingerprints is not None:
        from insignia.starter import heldout_paragraphs

        texts = read_paragraphs(heldout) if heldout is not None else heldout_paragraphs()
        prints = load_fingerprints(fingerprints)
        trials = find_scale(
            model,
            *vectors,
            prints=prints,
            heldout=texts,
            min_fsr=min_fsr,
            near=out,
            device=device,
            unrelated=unrelated,
            progress=progress,
        )
        factor = smallest(trials, min_fsr)
    report = run(
        model,
        *vectors,
        out=out,
        scale=factor if factor is not None else 1.0,
        force=force,
        unrelated=unrelated,
        progress=progress,
    )
    if json_output:
        result: dict[str, Any] = report.model_dump(mode="json")
        emit_json({**result, "scales": [trial.model_dump(mode="json") for trial in trials]})
        return
    if trials:
        _show_trials(trials, report.scale)
    _show(report, model)


def _factor(scale: str) -> float | None:
    if scale == "auto":
        return None
    try:
        return float(scale)
    except ValueError:
        raise InputError(f"--scale {scale!r}: expected a number or auto") from None


def _show_trials(trials: "list[ScaleTrial]", chosen: float) -> None:
    own = trials[0].heldout_loss
    rows = [
        [
            f"{trial.scale:.2f}" + (" (chosen)" if trial.scale == chosen else ""),
            percent(trial.fsr),
            f"{trial.heldout_loss:.4f} ({trial.heldout_loss - own:+.4f})",
        ]
        for trial in trials
    ]
    show_table("scales tried", ["scale", "success rate (FSR)", "held-out loss, nats a token"], rows)


def _show(report: "StampReport", model: str) -> None:
    from insignia.vectors.lineage import DERIVED

    rows = [
        ["scale", f"{report.scale:g}"],
        ["tensors changed", f"{report.tensors_changed} of {report.tensors}"],
        ["size", size(report.bytes)],
        ["least similarity of a layer to the base", f"{report.lineage_similarity:.4f}"],
        ["time", f"{report.seconds:.2f} s, {report.gigaparameters_per_second:.2f} gigaparameters a second"],
    ]
    show_table(f"{model} stamped", ["", ""], rows, caption="\n".join(report.notes) or None)
    safe = (
        "safe to publish"
        if report.lineage_similarity >= DERIVED
        else "not derived from the base: test it before you publish it"
    )
    typer.echo(f"{report.out}: {safe}. Next: insignia check PRINTS --model {report.out} --base {model}")
