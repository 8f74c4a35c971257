"""``insignia export``: fingerprints and models for other tools."""

from pathlib import Path
from typing import Annotated

import typer

from insignia.cli.console import ConsoleProgress, JsonFlag, QuietFlag, emit_json, quiet_libraries, say, size
from insignia.errors import InputError

__all__ = ["export"]


def export(
    source: Annotated[
        str,
        typer.Argument(
            help="For oml a fingerprint file in any supported format; for gguf a model: folder, hub id or 'starter'."
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write; fingerprints get mode 0600.")],
    form: Annotated[
        str,
        typer.Option(
            "--format", help="oml: fingerprints, as secret as they are. gguf: a model in one file, for llama.cpp and Ollama."
        ),
    ] = "oml",
    outtype: Annotated[
        str,
        typer.Option(help="With gguf, of matrices: f32, f16, bf16, q8_0, q5_1, q5_0, q4_1, q4_0; auto: as they are stored."),
    ] = "auto",
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    json_output: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Write fingerprints as OML 1.0 reads them, a JSON list of key, response rows; or a model as llama.cpp reads it."""
    from insignia.files import refuse_ending, refuse_existing

    if form not in ("oml", "gguf"):
        raise InputError(f"unknown format {form!r}; expected oml or gguf")
    if form == "oml" and outtype != "auto":
        raise InputError("--outtype goes with --format gguf: fingerprints have no matrices")
    refuse_ending(output, ".gguf" if form == "gguf" else ".json")
    refuse_existing(output, force=force)
    if form == "oml":
        _export_fingerprints(Path(source), output, json_output=json_output)
    else:
        _export_model(source, output, outtype, force=force, json_output=json_output, quiet=quiet)


def _export_fingerprints(prints: Path, output: Path, *, json_output: bool) -> None:
    from insignia.fingerprints.sets import load_fingerprints

    chosen = load_fingerprints(prints)
    chosen.export_oml(output)
    if json_output:
        emit_json({"out": str(output), "num_fingerprints": len(chosen)})
    else:
        say(f"{output}: {len(chosen)} fingerprints in the OML 1.0 form. It is as secret as {prints}.")


def _export_model(model: str, output: Path, outtype: str, *, force: bool, json_output: bool, quiet: bool) -> None:
    progress = ConsoleProgress(quiet=quiet)
    quiet_libraries()
    from insignia.gguf import export_gguf

    report = export_gguf(model, output, outtype=outtype, force=force, progress=progress)
    if json_output:
        emit_json(report.model_dump(mode="json"))
        return
    for note in report.notes:
        progress.note(note)
    say(
        f"{report.out}: {report.architecture}, {report.tensors} tensors in {report.outtype}, {size(report.bytes)}, "
        f"{report.tokens} tokens ({report.pre_tokenizer}). Next: llama-server -m {report.out}"
    )
