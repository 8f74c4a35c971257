"""``insignia stamp``: carry a mark over to a sibling, without training."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from insignia.cli.console import Written, percent, quiet_libraries, say, show_table, size
from insignia.cli.fields import takes
from insignia.embedding.limits import MIN_FSR
from insignia.errors import InputError
from insignia.modeling.placement import Device
from insignia.records import Share

if TYPE_CHECKING:
    from insignia.vectors import StampReport
    from insignia.vectors.scale import ScaleTrial

__all__ = ["stamp"]


class _Scaling(Device):
    """How much of the vectors is added."""

    scale: float | Literal["auto"] = 1.0
    """Factor of the vectors. A negative one removes a mark; auto is the smallest that works."""
    fingerprints: Path | None = None
    """With --scale auto: the fingerprints to ask for."""
    min_fsr: Share = MIN_FSR
    """With --scale auto: the success rate to reach."""
    heldout: tuple[str, ...] | None = None
    """With --scale auto: text file to measure harm on. None: Python's documentation."""
    unrelated: bool = False
    """Go on although the weights show that the model does not come from the base."""


@takes("stamp")
def stamp(
    model: Annotated[str, typer.Argument(help="A model derived from the vector's base: folder, hub id or 'starter'.")],
    vectors: Annotated[list[Path], typer.Argument(help="Folders made by 'insignia vector'; several are added up.")],
    out: Annotated[Path, typer.Option("--output", "-o", help="Folder of the stamped model; safe to publish.")],
    scaling: _Scaling,
    written: Written,
) -> None:
    """Add a vector to a sibling, at the speed of the disk.

    Examples:
        insignia stamp models/sibling vector -o stamped
        insignia stamp models/sibling vector -o stamped --scale auto --fingerprints prints.json
    """
    from insignia.files import refuse_existing

    refuse_existing(out, force=written.force)
    if (scaling.scale == "auto") != (scaling.fingerprints is not None):
        raise InputError("--scale auto and --fingerprints FILE go together")
    progress = written.progress()
    quiet_libraries()
    from insignia.vectors import stamp as add
    from insignia.vectors.scale import smallest

    trials = _trials(model, vectors, out, scaling, written)
    scale = smallest(trials, scaling.min_fsr) if scaling.scale == "auto" else scaling.scale
    report = add(model, *vectors, out=out, scale=scale, force=written.force, unrelated=scaling.unrelated, progress=progress)
    scales = {"scales": [trial.model_dump(mode="json") for trial in trials]}
    written.tell(report.model_dump(mode="json") | scales, lambda: _show(report, trials, model))


def _trials(model: str, vectors: list[Path], out: Path, scaling: _Scaling, written: Written) -> "list[ScaleTrial]":
    """What was found of some scales; nothing where the scale is given."""
    from insignia.fingerprints.sets import load_fingerprints
    from insignia.starter import heldout_paragraphs
    from insignia.vectors.scale import find_scale

    if scaling.fingerprints is None:
        return []
    return find_scale(
        model,
        *vectors,
        prints=load_fingerprints(scaling.fingerprints),
        heldout=scaling.heldout or heldout_paragraphs(),
        min_fsr=scaling.min_fsr,
        near=out,
        device=scaling.device,
        unrelated=scaling.unrelated,
        progress=written.progress(),
    )


def _show(report: "StampReport", trials: "list[ScaleTrial]", model: str) -> None:
    from insignia.vectors.lineage import DERIVED

    tried = [
        [
            f"{trial.scale:.2f}" + (" (chosen)" if trial.scale == report.scale else ""),
            percent(trial.fsr),
            f"{trial.heldout_loss:.4f} ({trial.heldout_loss - trials[0].heldout_loss:+.4f})",
        ]
        for trial in trials
    ]
    if tried:
        show_table("scales tried", ["scale", "success rate (FSR)", "held-out loss, nats a token"], tried)
    rows = [
        ["scale", f"{report.scale:g}"],
        ["tensors changed", f"{report.tensors_changed} of {report.tensors}"],
        ["size", size(report.bytes)],
        ["least similarity of a layer to the base", f"{report.lineage_similarity:.4f}"],
        ["time", f"{report.seconds:.2f} s, {report.gigaparameters_per_second:.2f} gigaparameters a second"],
    ]
    show_table(f"{model} stamped", ["", ""], rows, caption="\n".join(report.notes) or None)
    derived = report.lineage_similarity >= DERIVED
    safe = "safe to publish" if derived else "not derived from the base: test it before you publish it"
    say(f"{report.out}: {safe}. Next: insignia check PRINTS --model {report.out} --base {model}")
