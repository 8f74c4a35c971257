"""``insignia vector``: what marking changed, as a folder that stamps any sibling."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from pydantic import Field

from insignia.cli.console import Written, quiet_libraries, say, show_table, size
from insignia.cli.fields import takes
from insignia.errors import InputError
from insignia.records import Record

if TYPE_CHECKING:
    from insignia.vectors import VectorReport

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
    written.tell(report, lambda: _show(report, f"{marked} minus {base}"))


def _show(report: "VectorReport", title: str) -> None:
    rows = [
        ["tensors stored", f"{report.tensors_stored} of {report.tensors}, {report.tensors_changed} changed"],
        ["size", size(report.bytes)],
        ["norm of the difference", f"{report.norm:.4g}"],
        ["energy kept", f"{100 * report.energy_kept:.2f} %"],
        ["least similarity of a layer", f"{report.lineage_similarity:.4f}"],
        ["time", f"{report.seconds:.2f} s, {report.gigaparameters_per_second:.2f} gigaparameters a second"],
    ]
    show_table(title, ["", ""], rows)
    say(f"{report.out}: keep it as safe as the fingerprints. Next: insignia stamp SIBLING {report.out} -o STAMPED")
