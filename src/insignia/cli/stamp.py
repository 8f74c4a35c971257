"""``insignia stamp``: carry a mark over to a sibling, without training."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

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
    scaling: StampOptions,
    hub: PushFlags,
    written: Written,
    out: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Folder of the stamped model; safe to publish. Without it, --push-to-hub sends each file of weights when it is"
            " made and keeps none.",
        ),
    ] = None,
) -> None:
    """Add a vector to a sibling, at the speed of the disk.

    Examples:
        insignia stamp models/sibling vector -o stamped
        insignia stamp models/sibling vector -o stamped --scale auto --fingerprints prints.json
        insignia stamp them/sibling vector --stream --push-to-hub us/stamped
    """
    if out is not None:
        written.refuse_folder(out)
    scaling.refuse_contradictions(kept=out is not None)
    hub.refuse_push(kept=out is not None)
    from insignia.reporting.measurements import stamp_report
    from insignia.reporting.publications import with_publication
    from insignia.vectors import StampReport
    from insignia.vectors import stamp as add

    progress = written.progress()
    scale, trials = scaling.settle(model, vectors, near=out, progress=progress)

    def stamped(folder: Path, each_shard: Callable[[Path], None] | None = None) -> StampReport:
        how: dict[str, Any] = {name: getattr(scaling, name) for name in ("unrelated", "stream", "resume")}
        how |= {"scale": scale, "card": hub, "force": written.force, "progress": progress}
        return add(model, *vectors, out=folder, each_shard=each_shard, **how)

    if out is not None:
        report, published = stamped(out), hub.push(out, force=written.force, progress=progress)
    else:
        with hub.straight(force=written.force) as upload:
            report = stamped(upload.folder, upload.send).model_copy(update={"out": hub.push_to_hub})
            published = upload.finish()
    written.finish(with_publication(stamp_report(report, trials, model), published))
