"""``insignia export``: fingerprints and models for other tools."""

from pathlib import Path
from typing import Annotated, Literal

import typer
from pydantic import Field

from insignia.errors import InputError
from insignia.flags.fields import takes
from insignia.records import Flag, Record
from insignia.reporting.base import Document, told
from insignia.reporting.output import Written
from insignia.terminal import command_line, counted, size

__all__ = ["export"]


class _Form(Record):
    """The form of the file."""

    form: Annotated[Literal["oml", "gguf"], Flag("--format")] = "oml"
    """oml: fingerprints, as secret as they are. gguf: a model in one file, for llama.cpp and Ollama."""
    outtype: Annotated[str, Field(examples="auto f32 f16 bf16 q8_0 q5_1 q5_0 q4_1 q4_0".split())] = "auto"
    """With gguf: number format of matrices: f32, f16, bf16, q8_0, q5_1, q5_0, q4_1, q4_0, or auto: as they are stored."""


@takes()
def export(
    source: Annotated[
        str,
        typer.Argument(
            help="For oml a fingerprint file in any supported format; for gguf a model: folder, hub id or 'starter'."
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write; fingerprints get mode 0600.")],
    form: _Form,
    written: Written,
) -> None:
    """Write fingerprints as OML 1.0 reads them, a JSON list of key, response rows; or a model as llama.cpp reads it.

    Examples:
        insignia export prints.json -o oml.json
        insignia export marked -o marked.gguf --format gguf --outtype q8_0
    """
    if form.form == "oml" and form.outtype != "auto":
        raise InputError("--outtype goes with --format gguf: fingerprints have no matrices")
    written.refuse(output, ".gguf" if form.form == "gguf" else ".json")
    if form.form == "oml":
        _export_fingerprints(Path(source), output, written)
    else:
        _export_model(source, output, form.outtype, written)


def _export_fingerprints(prints: Path, output: Path, written: Written) -> None:
    from insignia.fingerprints.sets import load_fingerprints

    chosen = load_fingerprints(prints)
    chosen.export_oml(output)
    line = f"{output}: {counted(len(chosen), 'fingerprint')} in the OML 1.0 form. It is as secret as {prints}."
    written.finish(told(line, out=str(output), num_fingerprints=len(chosen)))


def _export_model(model: str, output: Path, outtype: str, written: Written) -> None:
    from insignia.gguf import export_gguf

    progress = written.progress()
    report = export_gguf(model, output, outtype=outtype, force=written.force, progress=progress)
    for note in report.notes:
        progress.note(note)
    line = (
        f"{report.out}: {report.architecture}, {report.tensors} tensors in {report.outtype}, {size(report.bytes)}, "
        f"{report.tokens} tokens ({report.pre_tokenizer}). Next: {command_line('llama-server', '-m', report.out)}"
    )
    written.finish(Document("", (line,), report.model_dump(mode="json")))
