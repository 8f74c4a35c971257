"""``insignia export``: fingerprints for other tools."""

from pathlib import Path
from typing import Annotated

import typer

from insignia.cli.console import JsonFlag, emit_json

__all__ = ["export"]


def export(
    prints: Annotated[Path, typer.Argument(help="Fingerprint file in any supported format.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write, mode 0600.")],
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    json_output: JsonFlag = False,
) -> None:
    """Write fingerprints as OML 1.0 reads them: a JSON list of key, response rows."""
    from insignia.artifacts import load_fingerprints
    from insignia.files import refuse_existing

    refuse_existing(output, force=force)
    chosen = load_fingerprints(prints)
    chosen.export_oml(output)
    if json_output:
        emit_json({"out": str(output), "num_fingerprints": len(chosen)})
    else:
        typer.echo(f"{output}: {len(chosen)} fingerprints in the OML 1.0 form. It is as secret as {prints}.")
