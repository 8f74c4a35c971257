"""``insignia stamp``: carry a mark over to a sibling, without training."""

import math
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from insignia.embedding.limits import MIN_FSR
from insignia.errors import InputError
from insignia.flags.fields import takes
from insignia.modeling.placement import Device
from insignia.records import Share
from insignia.reporting.output import Written

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
    written.refuse(out)
    if (scaling.scale == "auto") != (scaling.fingerprints is not None):
        raise InputError("--scale auto and --fingerprints FILE go together")
    from insignia.fingerprints.sets import load_fingerprints
    from insignia.reporting.base import report_of
    from insignia.reporting.measurements import scales_table
    from insignia.vectors import stamp as add
    from insignia.vectors.lineage import DERIVED
    from insignia.vectors.scale import find_scale, smallest

    trials, scale = [], math.nan if scaling.scale == "auto" else scaling.scale
    common: dict[str, Any] = {"unrelated": scaling.unrelated, "progress": written.progress()}
    if scaling.fingerprints is not None:
        asked: dict[str, Any] = {"min_fsr": scaling.min_fsr, "heldout": scaling.heldout, "device": scaling.device}
        trials = find_scale(model, *vectors, prints=load_fingerprints(scaling.fingerprints), near=out, **asked, **common)
        scale = smallest(trials, scaling.min_fsr)
    report = add(model, *vectors, out=out, scale=scale, force=written.force, **common)
    derived = report.lineage_similarity >= DERIVED
    safe = "Safe to publish" if derived else "Not derived from the base: test it before you publish it"
    document = report_of(report, *report.notes, f"{safe}. Next: insignia check PRINTS --model {report.out} --base {model}")
    tables = (scales_table(trials, report.scale),) if trials else ()
    scales = {"scales": [trial.model_dump(mode="json") for trial in trials]}
    written.finish(document._replace(blocks=(*tables, *document.blocks), data=document.data | scales))
