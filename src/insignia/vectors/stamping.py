"""Stamping: add vectors to a model's files on all cores, a few rows at a time."""

import contextlib
import math
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from blake3 import blake3
from torch import Tensor

from insignia.checkpoints import Checkpoint, Entry
from insignia.errors import InputError, ModelError
from insignia.files import refuse_existing, refuse_overlap
from insignia.modeling.cards import CardOptions, papers_of
from insignia.modeling.dtypes import DTYPES
from insignia.modeling.loading import token_ids
from insignia.modeling.saving import copy_companions
from insignia.modeling.sources import Source, opened_files, origin_of, source_name
from insignia.progress import AUTO, Advance, Progress
from insignia.vectors.alignment import Alignment, align
from insignia.vectors.hashed_writer import HashedWriter
from insignia.vectors.layout import VectorReport
from insignia.vectors.lineage import refuse_unrelated, similarities
from insignia.vectors.resumable import WholeShards, resumable_folder
from insignia.vectors.saved import FingerprintVector
from insignia.vectors.stamp_report import StampReport
from insignia.vectors.stored_rows import Scratch, byte_view, row_spans, spelled
from insignia.vectors.threads import in_lanes

__all__ = ["stamp"]


class _Addition(NamedTuple):
    """One difference to add to one tensor."""

    vector: FingerprintVector
    name: str
    rows: Tensor | None
    """For each model row, the base row or -1. None: rows have the same order."""


class _Piece(NamedTuple):
    """Rows ``first`` to ``last`` of a tensor."""

    entry: Entry
    first: int
    last: int


def stamp(
    model: Source,
    *vectors: FingerprintVector | VectorReport | str | Path,
    out: str | Path,
    scale: float = 1.0,
    card: CardOptions | None = None,
    force: bool = False,
    unrelated: bool = False,
    stream: bool = False,
    resume: bool = False,
    each_shard: Callable[[Path], None] | None = None,
    progress: Progress = AUTO,
) -> StampReport:
    """Write ``model + scale * sum(vectors)``, computed in fp32 and rounded once to the model's dtype.

    Shards, tensor order, tokenizer, configuration and the bytes of other tensors stay the same. Models are read tensor by
    tensor from their files; a model in memory is written to a temporary folder first. A vector is a folder, or the report of
    ``vector``. A negative scale removes fingerprints. ``unrelated`` stamps a model that is not derived from the base.
    ``card`` says what its model card tells.

    ``stream`` reads a hub model's weights from the hub when they are needed, and keeps no copy of them. Shards that were whole
    when a run failed stay beside ``out``, and the same call with ``resume`` goes on from there. ``each_shard`` is called with
    each file of weights when it is whole, one after the other, and may delete it; nothing is resumed then.

    Raises:
        InputError: no vector, a scale that is not finite, another architecture, or a model not derived from the base.
        ModelError: the model is damaged, a tensor to change is quantized, or the result is not finite.
        OutputError: ``out`` exists and ``force`` is off, lies inside an input, or the disk is full.
    """
    out = Path(out)
    if not vectors:
        raise InputError("no vector was given; expected at least one")
    if not math.isfinite(scale):
        raise InputError(f"scale {scale}: expected a finite number")
    refuse_existing(out, force=force)
    with contextlib.ExitStack() as stack:
        checkpoint = stack.enter_context(opened_files(model, stream=stream))
        refuse_overlap(out, checkpoint.folder)
        opened = [stack.enter_context(_opened(vector)) for vector in vectors]
        for vector in opened:
            refuse_overlap(out, vector.folder)
        if len({vector.folder.resolve() for vector in opened}) < len(opened):
            raise InputError("a vector was given twice; give it once, with twice the --scale if that is meant")
        papers = papers_of(origin_of(model), card or CardOptions(), progress)
        started = time.perf_counter()
        run = _Stamping(checkpoint, opened, scale=scale, name=source_name(model), unrelated=unrelated)
        with resumable_folder(out, run.inputs(), _holds, resume=resume, force=force, progress=progress) as shards:
            digests = run.write(shards, progress) if each_shard is None else run.write_each(shards.folder, progress, each_shard)
            seconds = time.perf_counter() - started
            copy_companions(checkpoint.folder, shards.folder)
            papers.write(shards.folder)
    return run.report(out, digests, seconds)


def _opened(vector: FingerprintVector | VectorReport | str | Path) -> FingerprintVector:
    if isinstance(vector, FingerprintVector):
        return vector
    return FingerprintVector(vector.out if isinstance(vector, VectorReport) else vector)


class _Stamping:
    """One run: align every vector with the model, then process the model's tensors."""

    def __init__(
        self, model: Checkpoint, vectors: Sequence[FingerprintVector], *, scale: float, name: str, unrelated: bool
    ) -> None:
        self._model = model
        self._vectors = vectors
        self._scale = scale
        self._scratch = Scratch()
        self._additions: dict[str, list[_Addition]] = {}
        """Tensor name -> differences to add."""
        self._similarity = 1.0
        notes: dict[str, None] = {}
        for vector in vectors:
            alignment = self._align(vector)
            self._similarity = min(self._similarity, self._compare(vector, alignment, name, unrelated=unrelated))
            notes.update(dict.fromkeys(alignment.notes))
            for changed in vector.changed:
                for place in (alignment.places.get(changed), alignment.tied.get(changed)):
                    if place is not None:
                        addition = _Addition(vector, changed, alignment.rows.get(changed))
                        self._additions.setdefault(place.name, []).append(addition)
        self._notes = tuple(notes)
        for changed in self._additions:
            if model.entries[changed].dtype not in DTYPES:
                raise ModelError(
                    f"{name}: {changed} is stored as {model.entries[changed].dtype}, which cannot be added to; stamp the model"
                    " before quantizing it"
                )

    def report(self, out: Path, digests: dict[str, str], seconds: float) -> StampReport:
        """What was written to ``out``."""
        headers, entries = self._model.headers.values(), self._model.entries.values()
        return StampReport(
            out=str(out),
            scale=self._scale,
            bytes=sum(map(len, headers)) + sum(entry.size for entry in entries),
            tensors=len(entries),
            tensors_changed=len(self._additions),
            lineage_similarity=self._similarity,
            weights=digests,
            notes=self._notes,
            seconds=round(seconds, 3),
            gigaparameters_per_second=round(sum(entry.numel for entry in entries) / seconds / 1e9, 4),
        )

    def inputs(self) -> dict[str, Any]:
        """All that the result depends on, as plain data."""
        vectors = [vector.identity() for vector in self._vectors]
        return {"model": self._model.identity(), "vectors": vectors, "scale": self._scale}

    def write(self, shards: WholeShards, progress: Progress) -> dict[str, str]:
        """Write every shard that is not whole; return the digests of all."""
        with (
            self._bar(progress) as advance,
            HashedWriter(shards.folder, self._model.headers, shards.known, shards.add) as writer,
        ):
            advance(sum(entry.size for entry in self._model.entries.values() if entry.shard in shards.known), "")
            self._fill(writer, self._lanes(self._model.headers.keys() - shards.known.keys()), advance)
            return writer.digests

    def write_each(self, folder: Path, progress: Progress, each_shard: Callable[[Path], None]) -> dict[str, str]:
        """Write one shard after the other, and call ``each_shard`` with it; return the digests."""
        digests: dict[str, str] = {}
        with self._bar(progress) as advance:
            for shard, header in self._model.headers.items():
                with HashedWriter(folder, {shard: header}) as writer:
                    self._fill(writer, self._lanes({shard}), advance)
                each_shard(folder / shard)
                digests |= writer.digests
        return digests

    def _bar(self, progress: Progress) -> contextlib.AbstractContextManager[Advance]:
        return progress.bar("stamping", sum(entry.size for entry in self._model.entries.values()), unit="B")

    def _fill(self, writer: HashedWriter, lanes: list[Iterator[_Piece]], advance: Advance) -> None:
        def run(piece: _Piece) -> None:
            entry = piece.entry
            try:
                data = self._stamped(piece) if entry.name in self._additions else self._copy(piece)
                writer.write(entry.name, piece.first * entry.columns * entry.itemsize, data)
            except BaseException:
                writer.abandon()
                raise
            advance(len(data), "")

        in_lanes(lanes, run, remote=self._model.remote)

    def _lanes(self, wanted: Collection[str]) -> list[Iterator[_Piece]]:
        """The pieces of each wanted shard in the order of the file; the largest first, so that threads end together."""
        shards: dict[str, list[Entry]] = {}
        for entry in self._model.entries.values():
            if entry.shard in wanted:
                shards.setdefault(entry.shard, []).append(entry)
        largest = sorted(shards.values(), key=lambda entries: -sum(entry.size for entry in entries))
        return [(_Piece(entry, *span) for entry in entries for span in row_spans(entry)) for entries in largest]

    def _copy(self, piece: _Piece) -> memoryview:
        entry = piece.entry
        data = byte_view(self._scratch.take("copy", (piece.last - piece.first) * entry.columns * entry.itemsize, torch.uint8))
        self._model.read_into(entry, piece.first * entry.columns * entry.itemsize, data)
        return data

    def _stamped(self, piece: _Piece) -> memoryview:
        entry, first, last = piece
        stored = self._scratch.stored("model", self._model, entry, first, last)
        additions = self._additions[entry.name]
        only = additions[0] if len(additions) == 1 and additions[0].rows is None else None
        scale, scratch = self._scale, self._scratch
        if only is None or not only.vector.add_rounded(only.name, first, last, to=stored, scale=scale, scratch=scratch):
            total = scratch.take("total", len(stored), torch.float32).copy_(stored)
            for addition in additions:
                for start, stop, row in _runs(addition.rows, first, last):
                    part = total[(start - first) * entry.columns : (stop - first) * entry.columns]
                    addition.vector.add(addition.name, row, row + stop - start, to=part, scale=scale, scratch=scratch)
            stored.copy_(total)
        if not (math.isfinite(float(stored.sum())) or stored.isfinite().all()):  # the sum is fast but may overflow
            raise ModelError(
                f"{entry.name} would contain NaN or a value too large for {entry.dtype}; is the model damaged or the scale too"
                " large?"
            )
        return byte_view(stored)

    def _align(self, vector: FingerprintVector) -> Alignment:
        vocabulary = vector.vocabulary
        return align(
            {name: change.shape for name, change in vector.file.tensors.items()},
            self._model.entries,
            changed=vector.changed,
            vocabulary=vocabulary,
            tokens=token_ids(self._model.folder) if vocabulary is not None else None,
        )

    def _compare(self, vector: FingerprintVector, alignment: Alignment, name: str, *, unrelated: bool) -> float:
        base = {
            tensor: (math.prod(vector.file.tensors[tensor].shape), values)
            for tensor, values in vector.sketch().items()
            if tensor in vector.file.tensors and tensor not in alignment.rows
        }
        return refuse_unrelated(similarities(base, self._model, alignment.places), name, unrelated=unrelated)


def _holds(path: Path, digest: str) -> bool:
    """Whether the shard of an earlier run is as it was written."""
    return path.is_file() and spelled(blake3(max_threads=blake3.AUTO).update_mmap(path)) == digest


def _runs(rows: Tensor | None, first: int, last: int) -> Iterator[tuple[int, int, int]]:
    """Runs of consecutive base rows: (first row, row after the last, first base row)."""
    if rows is None:
        yield first, last, first
        return
    wanted = rows[first:last].tolist()
    start = 0
    for end in range(1, len(wanted) + 1):
        if end == len(wanted) or wanted[end] != wanted[end - 1] + 1 or wanted[start] < 0:
            if wanted[start] >= 0:
                yield first + start, first + end, wanted[start]
            start = end
