"""``insignia vector``: what marking changed, as a folder that stamps any sibling."""

from pathlib import Path
from typing import Annotated

import typer

from insignia.cli.console import (
    ConsoleProgress,
    ForceFlag,
    JsonFlag,
    QuietFlag,
    UnrelatedFlag,
    emit_json,
    quiet_libraries,
    say,
    show_table,
    size,
)
from insignia.errors import InputError

__all__ = ["vector"]


def vector(
    base: Annotated[str, typer.Argument(help="The unmarked model: folder, hub id or 'starter'.")],
    marked: Annotated[str, typer.Argument(help="The same model after 'insignia embed'.")],
    out: Annotated[Path, typer.Option("--output", "-o", help="Folder of the vector. A secret: it removes the mark, too.")],
    dtype: Annotated[str, typer.Option(help="Of the stored differences: float32 (exact), bfloat16 or float16.")] = "float32",
    rank: Annotated[
        int | None, typer.Option(help="Store each matrix as its best approximation of this rank. Default: whole.")
    ] = None,
    factors: Annotated[
        Path | None, typer.Option(help="Private part of method lora: its factors are the vector, with nothing lost.")
    ] = None,
    skip_embeddings: Annotated[
        bool, typer.Option("--skip-embeddings", help="Leave tensors with a row a token out: siblings with other tokens fit.")
    ] = False,
    unrelated: UnrelatedFlag = False,
    force: ForceFlag = False,
    json_output: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Store what marking changed: marked minus base."""
    from insignia.files import refuse_existing

    refuse_existing(out, force=force)
    if rank is not None and factors is not None:
        raise InputError("--rank and --factors both say how matrices are stored; factors have a rank of their own")
    quiet_libraries()
    from insignia.vectors import vector as run
    from insignia.vectors.layout import stored_dtype

    report = run(
        base,
        marked,
        out=out,
        dtype=stored_dtype(dtype),
        rank=rank,
        factors=factors,
        skip_embeddings=skip_embeddings,
        unrelated=unrelated,
        force=force,
        progress=ConsoleProgress(quiet=quiet),
    )
    if json_output:
        emit_json(report.model_dump(mode="json"))
        return
    rows = [
        ["tensors stored", f"{report.tensors_stored} of {report.tensors}, {report.tensors_changed} changed"],
        ["size", size(report.bytes)],
        ["norm of the difference", f"{report.norm:.4g}"],
        ["energy kept", f"{100 * report.energy_kept:.2f} %"],
        ["least similarity of a layer", f"{report.lineage_similarity:.4f}"],
        ["time", f"{report.seconds:.2f} s, {report.gigaparameters_per_second:.2f} gigaparameters a second"],
    ]
    show_table(f"{marked} minus {base}", ["", ""], rows)
    say(f"{report.out}: keep it as safe as the fingerprints. Next: insignia stamp SIBLING {report.out} -o STAMPED")
