"""``insignia demo``: the whole story on the bundled model, in a couple of minutes, without a network."""

import tempfile
from pathlib import Path
from typing import Annotated

from pydantic import Field

from insignia.flags.fields import takes
from insignia.generation.base import DEFAULT_COUNT
from insignia.records import Flag, Record
from insignia.reporting.output import Output

__all__ = ["demo"]


class _Demo(Record):
    """What the demo is told."""

    folder: Annotated[Path | None, Flag("--output", "-o")] = None
    """New folder for the results. None: a temporary one, removed at the end."""
    num_fingerprints: Annotated[int, Field(ge=1)] = DEFAULT_COUNT
    """Fingerprints to make."""
    seed: int = 0
    """Seed of the training order."""


@takes()
def demo(told: _Demo, output: Output) -> None:
    """Mark the starter model, stamp a fine-tuned sibling of it, and check both beside their unmarked selves.

    Examples:
        insignia demo
        insignia demo -o demo --num-fingerprints 16
    """
    from insignia.files import refuse_existing
    from insignia.reporting.output import refuse_file_name

    if told.folder is not None:
        refuse_file_name(told.folder)
        refuse_existing(told.folder, force=False)
    from insignia.evaluation.story import tell_story
    from insignia.reporting.measurements import story_report

    with tempfile.TemporaryDirectory(prefix="insignia-demo-") as temporary:
        folder = told.folder or Path(temporary) / "demo"
        story = tell_story(folder, num_fingerprints=told.num_fingerprints, seed=told.seed, progress=output.progress())
    output.finish(story_report(story, told.folder))
