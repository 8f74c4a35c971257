"""``insignia vector``: what marking changed, as a folder that stamps any sibling."""

from pathlib import Path
from typing import Annotated, Literal

import typer
from pydantic import Field

from insignia.cli.console import Written, quiet_libraries, show_report
from insignia.cli.fields import takes
from insignia.errors import InputError
from insignia.records import Record

__all__ = ["vector"]


class _Stored(Record):
    """What of the difference is stored, and how: keyword arguments of ``insignia.vector``."""

    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Number format of the stored differences. float32 is exact."""
    rank: Annotated[int | None, Field(ge=1)] = None
    """Store each matrix as its best approximation of this rank. None: whole."""
    factors: Path | None = None
    """Owner weights of method lora. Their factors are the vector, with nothing lost."""
    skip_embeddings: bool = False
    """Leave out tensors with a row for each token, so that siblings with other tokens fit."""
    unrelated: bool = False
    """Go on although the weights show that the model does not come from the base."""


@takes("vector")
def vector(
    base: Annotated[str, typer.Argument(help="The unmarked model: folder, hub id or 'starter'.")],
    marked: Annotated[str, typer.Argument(help="The same model after 'insignia embed'.")],
    out: Annotated[Path, typer.Option("--output", "-o", help="Folder of the vector. A secret: it removes the mark, too.")],
    stored: _Stored,
    written: Written,
) -> None:
    """Store what marking changed: marked minus base.

    Examples:
        insignia vector starter marked -o vector
        insignia vector starter marked -o vector --dtype bfloat16 --rank 16
    """
    from insignia.files import refuse_existing

    refuse_existing(out, force=written.force)
    if stored.rank is not None and stored.factors is not None:
        raise InputError("--rank and --factors both say how matrices are stored; factors have a rank of their own")
    quiet_libraries()
    from insignia.vectors import vector as store

    report = store(base, marked, out=out, **dict(stored), force=written.force, progress=written.progress())
    after = f"It holds what {marked} has and {base} lacks.", f"Next: insignia stamp SIBLING {report.out} -o STAMPED"
    written.tell(report, lambda: show_report(report, *after))
