"""``insignia stamp``: carry a mark over to a sibling, without training."""

from pathlib import Path
from typing import Annotated

import typer

from insignia.flags.fields import takes
from insignia.publishing.push_flags import PushFlags
from insignia.reporting.output import Written
from insignia.vectors.vector_options import StampOptions

__all__ = ["stamp"]


@takes("stamp")
def stamp(
    model: Annotated[str, typer.Argument(help="A model derived from the vector's base: folder, hub id or 'starter'.")],
    vectors: Annotated[list[Path], typer.Argument(help="Folders made by 'insignia vector'; several are added up.")],
    out: Annotated[Path, typer.Option("--output", "-o", help="Folder of the stamped model; safe to publish.")],
    scaling: StampOptions,
    hub: PushFlags,
    written: Written,
) -> None:
    """Add a vector to a sibling, at the speed of the disk.

    Examples:
        insignia stamp models/sibling vector -o stamped
        insignia stamp models/sibling vector -o stamped --scale auto --fingerprints prints.json
    """
    written.refuse_folder(out)
    scaling.refuse_contradictions()
    hub.refuse_push()
    from insignia.reporting.measurements import stamp_report
    from insignia.reporting.publications import with_publication
    from insignia.vectors import stamp as add

    progress = written.progress()
    scale, trials = scaling.settle(model, vectors, near=out, progress=progress)
    force, unrelated = written.force, scaling.unrelated
    report = add(model, *vectors, out=out, scale=scale, card=hub, force=force, unrelated=unrelated, progress=progress)
    written.finish(with_publication(stamp_report(report, trials, model), hub.push(out, force=force, progress=progress)))
