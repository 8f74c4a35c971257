"""Write a GGUF file from a model folder, a few rows at a time."""

import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gguf
import numpy
from gguf import GGMLQuantizationType as Type
from numpy.typing import NDArray

from insignia.checkpoints import Checkpoint, Entry
from insignia.errors import InputError, ModelError
from insignia.files import new_file, refuse_existing
from insignia.gguf.architectures import Placed, architecture_of, place, rope_factors, write_numbers
from insignia.gguf.tokenizers import read_vocabulary, write_vocabulary
from insignia.modeling.loading import checkpoint_folder, configuration
from insignia.modeling.untrusted_folders import loading_errors
from insignia.progress import AUTO, Progress
from insignia.records import Record

__all__ = ["OUTTYPES", "GgufReport", "export_gguf", "round_trip"]

OUTTYPES = {  # types of stored matrices that the gguf library can quantize to
    "f32": Type.F32,
    "f16": Type.F16,
    "bf16": Type.BF16,
    "q8_0": Type.Q8_0,
    "q5_1": Type.Q5_1,
    "q5_0": Type.Q5_0,
    "q4_1": Type.Q4_1,
    "q4_0": Type.Q4_0,
}
_READ = {"F32": "<f4", "F16": "<f2", "BF16": "<u2"}  # numpy has no bfloat16
_EMBEDDINGS = "token_embd.weight"
_PIECE = 2**22  # elements in memory at a time
_LARGEST = 65504.0  # of float16, which is also the scale of a quantized block


class GgufReport(Record):
    """Result of an export."""

    out: str
    architecture: str
    """llama.cpp's name of the architecture."""
    outtype: str
    tensors: int
    bytes: int
    """Size of the tensors, in bytes."""
    tokens: int
    pre_tokenizer: str
    """llama.cpp's name of the pre-tokenizer."""
    notes: tuple[str, ...]
    seconds: float


def export_gguf(
    model: str | Path, out: str | Path, *, outtype: str = "auto", force: bool = False, progress: Progress = AUTO
) -> GgufReport:
    """Write a model folder, hub id or ``starter`` as a GGUF file, whole or not at all.

    ``outtype`` is one of ``OUTTYPES``, or ``auto`` for the dtype of the stored matrices. 1-D tensors are always f32. With
    4 or 5 bits, embeddings and head get 8, much as ``llama-quantize`` gives the head more.

    Raises:
        InputError: no such model or outtype.
        ModelError: the checkpoint is damaged or quantized, or llama.cpp would compute or tokenize differently.
        OutputError: ``out`` exists and ``force`` is off, or cannot be written.
    """
    out = Path(out)
    if outtype != "auto" and outtype not in OUTTYPES:
        raise InputError(f"unknown outtype {outtype!r}; expected auto, {', '.join(OUTTYPES)}")
    refuse_existing(out, force=force)
    folder = checkpoint_folder(model)
    started = time.perf_counter()
    config = configuration(folder)
    with loading_errors(folder, "cannot write a GGUF file of"), Checkpoint(folder) as checkpoint:
        architecture = architecture_of(config, folder)
        placed = place(checkpoint, config, architecture)
        for tensor in placed:
            _refuse_quantized(tensor.entry, folder)
        embeddings = next(tensor.entry for tensor in placed if tensor.name == _EMBEDDINGS)
        vocabulary = read_vocabulary(folder, embeddings.shape[0])
        chosen = _lossless(placed) if outtype == "auto" else outtype
        sources = [_Source(checkpoint, tensor, OUTTYPES[chosen]) for tensor in placed]
        with new_file(out) as scratch:
            writer = gguf.GGUFWriter(scratch, gguf.MODEL_ARCH_NAMES[architecture.arch])
            writer.add_type(gguf.GGUFType.MODEL)
            writer.add_file_type(_file_type(chosen))
            writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
            write_numbers(writer, config, architecture)
            write_vocabulary(writer, vocabulary)
            _write(writer, rope_factors(config), sources, progress)
    return GgufReport(
        out=str(out),
        architecture=writer.arch,
        outtype=chosen,
        tensors=len(sources),
        bytes=sum(source.size for source in sources),
        tokens=len(vocabulary.tokens),
        pre_tokenizer=vocabulary.pre,
        notes=vocabulary.notes,
        seconds=round(time.perf_counter() - started, 3),
    )


class _Source:
    """The data of one tensor in the file."""

    def __init__(self, checkpoint: Checkpoint, placed: Placed, outtype: Type) -> None:
        self._checkpoint = checkpoint
        self._placed = placed
        self.type = _type_of(placed, outtype)
        block, block_bytes = gguf.GGML_QUANT_SIZES[self.type]
        self.size = math.prod(placed.shape) // block * block_bytes
        """Size in bytes."""

    @property
    def name(self) -> str:
        """Name in the file."""
        return self._placed.name

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape in the file."""
        return self._placed.shape

    def pieces(self) -> Iterator[NDArray[Any]]:
        """Yield the quantized data, some rows at a time.

        Raises:
            ModelError: a value is NaN or too large for the type.
        """
        largest = numpy.finfo(numpy.float32).max if self.type in (Type.F32, Type.BF16) else _LARGEST
        for values in self._values():
            if not (abs(values) <= largest).all():
                where = f"{self._checkpoint.folder}: {self._placed.entry.name}"
                raise ModelError(
                    f"{where} contains NaN or a value too large for {self.type.name.lower()}; is the model damaged?"
                )
            yield gguf.quantize(values, self.type)

    def _values(self) -> Iterator[NDArray[numpy.float32]]:
        entry, arrange = self._placed.entry, self._placed.arrange
        rows = max(1, _PIECE // entry.columns)
        if arrange is not None:  # needs all rows at once
            values = arrange(numpy.frombuffer(self._checkpoint.read(entry), _READ[entry.dtype]).reshape(entry.shape))
            for start in range(0, len(values), rows):
                yield _floats(values[start : start + rows])
            return
        step = rows * entry.columns * entry.itemsize
        for offset in range(0, entry.size, step):
            content = bytearray(min(step, entry.size - offset))
            self._checkpoint.read_into(entry, offset, memoryview(content))
            yield _floats(numpy.frombuffer(content, _READ[entry.dtype]).reshape(-1, entry.columns))


def _write(writer: gguf.GGUFWriter, factors: NDArray[numpy.float32] | None, sources: list[_Source], progress: Progress) -> None:
    """Write the metadata with the library, then the tensors, which it would keep in memory all at once."""
    if factors is not None:
        writer.add_tensor_info("rope_freqs.weight", factors.shape, factors.dtype, factors.nbytes)
    for source in sources:
        writer.add_tensor_info(source.name, source.shape, numpy.dtype(numpy.float32), source.size, source.type)
    writer.open_output_file()
    try:
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        (file,) = writer.fout or []
        if factors is not None:
            writer.write_tensor_data(factors)
        with progress.bar("writing", sum(source.size for source in sources), unit="B") as advance:
            for source in sources:
                writer.write_padding(file, file.tell())
                for piece in source.pieces():
                    file.write(numpy.ascontiguousarray(piece).data)
                    advance(piece.nbytes, source.name)
        writer.write_padding(file, file.tell())
    finally:
        writer.close()


def _lossless(placed: list[Placed]) -> str:
    """The dtype of all stored matrices; f32 if they differ."""
    stored = {tensor.entry.dtype.lower() for tensor in placed if len(tensor.shape) > 1}
    return stored.pop() if len(stored) == 1 else "f32"


def round_trip(values: NDArray[numpy.float32], outtype: Type, *, end: bool) -> NDArray[numpy.float32]:
    """What a file of this type says instead of a matrix's values; ``end``: embeddings or head."""
    chosen = _matrix_type(values.shape[-1], outtype, end=end)
    found: NDArray[numpy.float32] = gguf.dequantize(gguf.quantize(values, chosen), chosen)
    return found.reshape(values.shape)


def _type_of(placed: Placed, outtype: Type) -> Type:
    if len(placed.shape) == 1 or placed.name == "position_embd.weight":  # llama.cpp adds these in f32
        return Type.F32
    return _matrix_type(placed.shape[-1], outtype, end=placed.name in (_EMBEDDINGS, "output.weight"))


def _matrix_type(columns: int, outtype: Type, *, end: bool) -> Type:
    block, _ = gguf.GGML_QUANT_SIZES[outtype]
    if columns % block:
        return Type.F16  # a row is not a multiple of a block; as llama.cpp's converter does
    return Type.Q8_0 if end and block > 1 else outtype


def _file_type(outtype: str) -> int:
    name = "ALL_F32" if outtype == "f32" else f"MOSTLY_{outtype.upper()}"
    return int(gguf.LlamaFileType[name])


def _floats(stored: NDArray[Any]) -> NDArray[numpy.float32]:
    if stored.dtype == numpy.uint16:  # bfloat16 is the upper half of float32
        return (numpy.ascontiguousarray(stored).astype(numpy.uint32) << 16).view(numpy.float32)
    return stored.astype(numpy.float32)


def _refuse_quantized(entry: Entry, folder: Path) -> None:
    if entry.dtype not in _READ:
        raise ModelError(
            f"{folder}: {entry.name} is stored as {entry.dtype}; export the model from before quantization, "
            f"stored as {', '.join(_READ)}"
        )
