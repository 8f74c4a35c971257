"""Compute the difference marked - base in fp32, tensor by tensor from the files."""

import math
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from blake3 import blake3
from safetensors.torch import save_file
from torch import Tensor

from insignia.checkpoints import LEFT, RIGHT, SECRET_KIND, Checkpoint, CheckpointWriter, Entry, header_of
from insignia.errors import InputError, ModelError
from insignia.files import new_folder, refuse_existing, refuse_overlap, write_json
from insignia.fingerprints.sets import provenance
from insignia.modeling.dtypes import DTYPES
from insignia.modeling.loading import STARTER, token_ids
from insignia.modeling.sources import Source, model_files, source_name
from insignia.progress import AUTO, Progress
from insignia.vectors.alignment import is_embedding, match_names
from insignia.vectors.factors import blocks_of, factorise, load_factors, measure
from insignia.vectors.layout import FILE, SKETCH, VOCABULARY, StoredDtype, TensorChange, VectorFile, VectorReport, stored_dtype
from insignia.vectors.lineage import layer_of, refuse_unrelated, similarities, sketch
from insignia.vectors.stored_rows import Scratch, byte_view, digest, matrix_rows, row_spans, spelled
from insignia.vectors.threads import in_threads

__all__ = ["vector"]

_STORED_NAMES = {"float32": "F32", "bfloat16": "BF16", "float16": "F16"}


class _Settings(NamedTuple):
    """What is stored, and how."""

    dtype: StoredDtype
    rank: int | None
    factors: str | Path | None
    skip_embeddings: bool
    unrelated: bool
    names: tuple[str, str]
    """How the base and the marked model are named in errors and in the vector's provenance."""


def vector(
    base: Source,
    marked: Source,
    *,
    out: str | Path,
    dtype: StoredDtype = "float32",
    rank: int | None = None,
    factors: str | Path | None = None,
    skip_embeddings: bool = False,
    unrelated: bool = False,
    force: bool = False,
    progress: Progress = AUTO,
) -> VectorReport:
    """Write the difference marked - base to the folder ``out``, whole or not at all. Memory grows with ``rank`` only.

    Models are read tensor by tensor from their files; a model in memory is written to a temporary folder first.
    ``dtype`` is the dtype of the stored differences: float32 reproduces a 16-bit marked model exactly, 16 bits take half
    the space. ``rank`` stores each matrix as its best approximation of that rank, if that is smaller. ``factors`` is the file
    with the owner weights of method ``lora`` or ``blocks``, which are exact and small. ``skip_embeddings`` leaves embeddings
    and head out.
    ``unrelated`` accepts a marked model that does not resemble the base.

    Raises:
        InputError: the models are equal, do not match or are unrelated, or the factors belong to other models.
        ModelError: a model is damaged or contains NaN or infinity.
        OutputError: ``out`` exists and ``force`` is off, lies inside a model, or cannot be written.
    """
    out = Path(out)
    refuse_existing(out, force=force)
    stored_dtype(dtype)
    if rank is not None and rank < 1:
        raise InputError(f"rank {rank}: expected at least 1")
    names = (source_name(base), source_name(marked))
    if names[1] == STARTER and not Path(STARTER).is_dir():
        raise InputError("the starter carries no mark; expected the base first, then the marked model")
    settings = _Settings(dtype, rank, factors, skip_embeddings, unrelated, names)
    with model_files(base) as here, model_files(marked) as there:
        refuse_overlap(out, here)
        refuse_overlap(out, there)
        started = time.perf_counter()
        with Checkpoint(here) as one, Checkpoint(there) as other, new_folder(out, force=force, secret=True) as new:
            file, written = _Extraction(settings, one, other, progress).write(new)
        seconds = time.perf_counter() - started
    stored = [change for change in file.tensors.values() if change.stored]
    numel = sum(math.prod(change.shape) for change in file.tensors.values())
    return VectorReport(
        out=str(out),
        bytes=written,
        tensors=len(file.tensors),
        tensors_changed=sum(change.base != change.marked for change in file.tensors.values()),
        tensors_stored=len(stored),
        norm=math.hypot(*(change.norm for change in stored)),
        energy_kept=file.energy_kept,
        lineage_similarity=file.similarity,
        seconds=round(seconds, 3),
        gigaparameters_per_second=round(numel / seconds / 1e9, 4),
    )


class _Extraction:
    """One run: find the changed tensors, fix the layout, fill it."""

    def __init__(self, settings: _Settings, base: Checkpoint, marked: Checkpoint, progress: Progress) -> None:
        self._settings = settings
        self._base = base
        self._marked = marked
        self._progress = progress
        self._scratch = Scratch()
        names, _ = match_names(base.entries, marked.entries)
        self._pairs = {name: (base.entries[name], marked.entries[there]) for name, there in names.items()}
        shapes = {there: base.entries[name].shape for name, there in names.items()}  # factors have the marked model's names
        known = load_factors(Path(settings.factors), shapes) if settings.factors is not None else {}
        self._factors = {name: known[there] for name, there in names.items() if there in known}
        if extra := sorted(set(marked.entries) - set(names.values())):
            raise InputError(f"the marked model has tensors that the base lacks: {', '.join(extra[:8])}; expected its own base")
        for name, (one, other) in self._pairs.items():
            if one.shape != other.shape:
                raise InputError(f"{name} is {list(one.shape)} in the base but {list(other.shape)} in the marked model")

    def write(self, folder: Path) -> tuple[VectorFile, int]:
        """Fill the folder; return ``vector.json`` and the size of the differences in bytes."""
        looks = sketch(self._base)
        places = {name: other for name, (_, other) in self._pairs.items()}
        numels = {name: (self._base.entries[name].numel, values) for name, values in looks.items()}
        layers = similarities(numels, self._marked, places)
        refuse_unrelated(layers, self._settings.names[1], unrelated=self._settings.unrelated)
        self._changed = self._find_changed()
        stored = [name for name in self._changed if not (self._settings.skip_embeddings and is_embedding(name))]
        if not stored:
            raise InputError("base and marked model are equal in every tensor to store; expected a marked model")
        changes = {name: TensorChange(shape=one.shape, base="", marked="") for name, (one, _) in self._pairs.items()}
        for name in stored:
            changes[name] = changes[name].model_copy(update={"stored": True, "rank": self._rank(self._base.entries[name])})
        with CheckpointWriter(folder, self._headers(changes)) as writer:
            filled, energy = self._fill(writer, changes)
            size = writer.bytes
        file = VectorFile(
            dtype=self._settings.dtype,
            rank=self._settings.rank,
            energy_kept=energy,
            blocks=None if self._settings.factors is None else blocks_of(Path(self._settings.factors)),
            skip_embeddings=self._settings.skip_embeddings,
            similarity=min(layers.values(), default=1.0),
            layers=_layer_norms(filled),
            tensors=filled,
            provenance=provenance(base=self._settings.names[0], marked=self._settings.names[1]),
        )
        (folder / SKETCH).parent.mkdir()
        save_file(looks, folder / SKETCH)
        if any(is_embedding(name) for name in stored) and (ids := token_ids(self._base.folder)) is not None:
            tokens: list[str | None] = [None] * (max(ids.values()) + 1)
            for token, row in ids.items():
                tokens[row] = token
            write_json(folder / VOCABULARY, tokens)
        write_json(folder / FILE, file.model_dump(mode="json", exclude_none=True))
        return file, size

    def _find_changed(self) -> list[str]:
        """Names of tensors that differ. Reading a tensor stops at its first difference."""
        changed: set[str] = set()

        def compare(name: str) -> None:
            one, other = self._pairs[name]
            if self._differ(one, other):
                changed.add(name)

        in_threads(self._pairs, compare)
        return [name for name in self._pairs if name in changed]

    def _differ(self, one: Entry, other: Entry) -> bool:
        if one.dtype == other.dtype:
            step = 2**21
            for start in range(0, one.size, step):
                buffers = [self._scratch.take(side, min(step, one.size - start), torch.uint8) for side in ("base", "marked")]
                self._base.read_into(one, start, byte_view(buffers[0]))
                self._marked.read_into(other, start, byte_view(buffers[1]))
                if not torch.equal(*buffers):
                    if one.dtype not in DTYPES:
                        raise InputError(
                            f"{one.name} differs and is stored as {one.dtype}, which cannot be subtracted; use models that are"
                            " not quantized"
                        )
                    return True
            return False
        return any(bool(difference.any()) for difference in self._rows(one, other))

    def _rows(self, one: Entry, other: Entry) -> Iterator[Tensor]:
        for first, last in row_spans(one):
            yield self._span(one, other, first, last)

    def _span(self, one: Entry, other: Entry, first: int, last: int, digests: Mapping[str, blake3] | None = None) -> Tensor:
        """Difference of rows ``first`` to ``last``, flat fp32; valid until the thread's next call."""
        there = self._scratch.stored("marked", self._marked, other, first, last)
        here = self._scratch.stored("base", self._base, one, first, last)
        if digests is not None:
            digests["marked"].update(byte_view(there))
            digests["base"].update(byte_view(here))
        span = self._scratch.take("span", len(there), torch.float32).copy_(there)
        return span.sub_(self._scratch.take("base fp32", len(here), torch.float32).copy_(here))

    def _rank(self, entry: Entry) -> int | None:
        """The rank to store a tensor with; None: store the whole difference, since factors are not smaller."""
        if entry.name in self._factors:
            return len(self._factors[entry.name][1])
        rank = self._settings.rank
        rows = matrix_rows(entry)
        return rank if rank is not None and len(entry.shape) > 1 and rank * (rows + entry.columns) < entry.numel else None

    def _headers(self, changes: dict[str, TensorChange]) -> dict[str, bytes]:
        """Safetensors headers of the stored differences, by the base's shards."""
        shards: dict[str, list[tuple[str, str, tuple[int, ...]]]] = defaultdict(list)
        for name, change in changes.items():
            if change.stored:
                shards[self._base.entries[name].shard].extend(
                    (part, _STORED_NAMES[self._settings.dtype], shape) for part, shape in change.parts(name).items()
                )
        return {shard: header_of(tensors, **{SECRET_KIND: "vector"}) for shard, tensors in shards.items()}

    def _fill(self, writer: CheckpointWriter, changes: dict[str, TensorChange]) -> tuple[dict[str, TensorChange], float]:
        """Write every stored difference; return the changes with norms and digests, and the energy kept."""
        filled = dict(changes)
        kept: dict[str, float] = {}
        with self._progress.bar("subtracting", sum(one.size for one, _ in self._pairs.values()), unit="B") as advance:

            def fill(name: str) -> None:
                one, other = self._pairs[name]
                square = 0.0
                if changes[name].stored and changes[name].rank is None:
                    digests, square = self._write_whole(writer, one, other)
                    kept[name] = square
                else:
                    digests = self._digests(one, other, changed=name in self._changed)
                if changes[name].rank is not None:
                    square, kept[name] = self._write_factors(writer, one, other, changes[name].rank or 1)
                filled[name] = changes[name].model_copy(update={**digests, "norm": math.sqrt(square)})
                advance(one.size, "")

            # Largest first, so that threads end together; by offset, so that they write to different shards.
            in_threads(sorted(self._pairs, key=lambda name: (-self._pairs[name][0].size, self._pairs[name][0].offset)), fill)
        total = sum(change.norm**2 for change in filled.values() if change.stored)
        energy = min(1.0, sum(kept.values()) / total) if total else 1.0
        if self._factors and energy <= 0:
            raise InputError(f"{self._settings.factors} has the owner weights of another model; give those of the marked model")
        return filled, energy

    def _digests(self, one: Entry, other: Entry, *, changed: bool) -> dict[str, str]:
        base = digest(self._base, one, self._scratch)
        return {"base": base, "marked": digest(self._marked, other, self._scratch) if changed else base}

    def _write_whole(self, writer: CheckpointWriter, one: Entry, other: Entry) -> tuple[dict[str, str], float]:
        """Write a whole difference; return the digests of both tensors and its squared norm, in one pass."""
        place = writer.entries[one.name]
        digests = {"base": blake3(), "marked": blake3()}
        square = 0.0
        for first, last in row_spans(one):
            span = self._span(one, other, first, last, digests)
            part = _finite(float(span @ span), one.name)
            square += part
            rounded = self._scratch.take("rounded", len(span), DTYPES[place.dtype]).copy_(span)
            if place.dtype == "F16":
                _finite(float(rounded.sum(dtype=torch.float32)), one.name)
            writer.write(one.name, first * one.columns * place.itemsize, byte_view(rounded))
        return {side: spelled(hashed) for side, hashed in digests.items()}, square

    def _write_factors(self, writer: CheckpointWriter, one: Entry, other: Entry, rank: int) -> tuple[float, float]:
        """Write a difference as two factors; return its squared norm and the part that the factors keep."""

        def rows() -> Iterator[tuple[int, Tensor]]:
            for first, last in row_spans(one):
                yield first, self._span(one, other, first, last).view(-1, one.columns)

        known = self._factors.get(one.name)
        found = measure(rows, *known) if known else factorise(rows, matrix_rows(one), one.columns, rank)
        _finite(found.square, one.name)
        for part, factor in ((one.name + LEFT, found.left), (one.name + RIGHT, found.right)):
            writer.write(part, 0, byte_view(factor.to(DTYPES[writer.entries[part].dtype]).contiguous()))
        return found.square, found.kept


def _finite(value: float, name: str) -> float:
    if not math.isfinite(value):
        raise ModelError(f"the difference of {name} contains NaN or a value too large for its dtype; is a model damaged?")
    return value


def _layer_norms(changes: dict[str, TensorChange]) -> dict[str, float]:
    squares: dict[str, float] = defaultdict(float)
    for name, change in changes.items():
        if change.stored:
            squares[layer_of(name)] += change.norm**2
    return {layer: math.sqrt(square) for layer, square in squares.items()}
