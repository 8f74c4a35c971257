"""Compute the difference marked - base in fp32, tensor by tensor from the files."""

import math
import threading
import time
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from safetensors.torch import save_file

from insignia.checkpoints import SECRET_KIND, Checkpoint, CheckpointWriter, Entry, header_of
from insignia.errors import InputError
from insignia.files import digest_of_file, refuse_existing, refuse_overlap, write_json
from insignia.fingerprints.sets import provenance
from insignia.modeling.loading import STARTER, token_ids
from insignia.modeling.sources import Source, opened_files, source_name
from insignia.progress import AUTO, Progress
from insignia.vectors.alignment import is_embedding, match_names
from insignia.vectors.factors import blocks_of, load_factors
from insignia.vectors.layout import FILE, SKETCH, VOCABULARY, StoredDtype, TensorChange, VectorFile, VectorReport, stored_dtype
from insignia.vectors.lineage import layer_of, refuse_unrelated, similarities, sketch
from insignia.vectors.resumable import WholeShards, resumable_folder
from insignia.vectors.stored_rows import matrix_rows
from insignia.vectors.subtraction import Subtraction
from insignia.vectors.threads import in_lanes, in_threads

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
    stream: bool = False,
    resume: bool = False,
    force: bool = False,
    progress: Progress = AUTO,
) -> VectorReport:
    """Write the difference marked - base to the folder ``out``, whole or not at all. Memory grows with ``rank`` only.

    Models are read tensor by tensor from their files; a model in memory is written to a temporary folder first.
    ``dtype`` is the dtype of the stored differences: float32 reproduces a 16-bit marked model exactly, 16 bits take half
    the space. ``rank`` stores each matrix as its best approximation of that rank, if that is smaller. ``factors`` is the file
    with the owner weights of method ``lora`` or ``blocks``, which are exact and small. ``skip_embeddings`` leaves embeddings
    and head out.
    ``unrelated`` accepts a marked model that does not resemble the base. ``stream`` reads the weights of hub models from the
    hub when they are needed, twice (with ``rank`` five times), and keeps no copy of them. Shards that were whole when a run
    failed stay beside ``out``, and the same call with ``resume`` goes on from there.

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
    with opened_files(base, stream=stream) as one, opened_files(marked, stream=stream) as other:
        refuse_overlap(out, one.folder)
        refuse_overlap(out, other.folder)
        started = time.perf_counter()
        run = _Extraction(settings, one, other, progress)
        with resumable_folder(out, run.inputs(), _holds, resume=resume, force=force, secret=True, progress=progress) as shards:
            file, written = run.write(shards)
        seconds = time.perf_counter() - started
    return _report(out, file, written, seconds)


def _report(out: Path, file: VectorFile, written: int, seconds: float) -> VectorReport:
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
        self._remote = base.remote or marked.remote
        self._progress = progress
        self._subtraction = Subtraction(base, marked)
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

    def inputs(self) -> dict[str, Any]:
        """All that the result depends on, as plain data."""
        settings = self._settings
        return {
            "models": [self._base.identity(), self._marked.identity()],
            "factors": None if settings.factors is None else digest_of_file(Path(settings.factors)),
            "stored": [settings.dtype, settings.rank, settings.skip_embeddings],
        }

    def write(self, shards: WholeShards) -> tuple[VectorFile, int]:
        """Fill the folder; return ``vector.json`` and the size of the differences in bytes."""
        folder = shards.folder
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
        with CheckpointWriter(folder, self._headers(changes), shards.known) as writer:
            filled, energy = self._fill(writer, changes, shards)
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
            if self._subtraction.differ(one, other):
                changed.add(name)

        in_threads(self._pairs, compare, remote=self._remote)
        return [name for name in self._pairs if name in changed]

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

    def _fill(
        self, writer: CheckpointWriter, changes: dict[str, TensorChange], shards: WholeShards
    ) -> tuple[dict[str, TensorChange], float]:
        """Write every difference to store, but those of whole shards; return all changes, and the energy kept."""
        filled = dict(changes)
        kept: dict[str, float] = {}
        for about in shards.known.values():
            filled.update({name: TensorChange.model_validate(change) for name, change in about["tensors"].items()})
            kept.update(about["kept"])
        lanes = self._lanes(shards.known)
        unfinished = {shard: len(names) for shard, names in lanes.items()}
        lock = threading.Lock()
        with self._progress.bar("subtracting", sum(one.size for one, _ in self._pairs.values()), unit="B") as advance:
            advance(sum(one.size for one, _ in self._pairs.values() if one.shard in shards.known), "")

            def fill(name: str) -> None:
                shard = self._pairs[name][0].shard
                filled[name], kept[name] = self._filled(writer, name, changes[name])
                advance(self._pairs[name][0].size, "")
                with lock:
                    unfinished[shard] -= 1
                    whole = not unfinished[shard] and any(unfinished.values())  # the last one ends the run
                if whole:
                    shards.add(shard, self._about(writer, shard, lanes[shard], filled, kept))

            in_lanes(lanes.values(), fill, remote=self._remote)
        total = sum(change.norm**2 for change in filled.values() if change.stored)
        energy = min(1.0, sum(kept.values()) / total) if total else 1.0
        if self._factors and energy <= 0:
            raise InputError(f"{self._settings.factors} has the owner weights of another model; give those of the marked model")
        return filled, energy

    def _lanes(self, whole: Collection[str]) -> dict[str, list[str]]:
        """The base's shards that are not whole, with their tensors; the largest first, so that threads end together."""
        lanes: dict[str, list[str]] = defaultdict(list)
        for name in sorted(self._pairs, key=lambda name: -self._pairs[name][0].size):
            if (shard := self._pairs[name][0].shard) not in whole:
                lanes[shard].append(name)
        return dict(sorted(lanes.items(), key=lambda lane: -sum(self._pairs[name][0].size for name in lane[1])))

    def _filled(self, writer: CheckpointWriter, name: str, change: TensorChange) -> tuple[TensorChange, float]:
        """Write a difference, if it is to be stored; return the change with norm and digests, and the energy kept."""
        one, other = self._pairs[name]
        square = energy = 0.0
        if change.stored and change.rank is None:
            digests, square = self._subtraction.write_whole(writer, one, other)
            energy = square
        else:
            digests = self._subtraction.digests(one, other, changed=name in self._changed)
        if change.rank is not None:
            known = self._factors.get(name)
            square, energy = self._subtraction.write_factors(writer, one, other, rank=change.rank, known=known)
        return change.model_copy(update={**digests, "norm": math.sqrt(square)}), energy

    def _about(
        self,
        writer: CheckpointWriter,
        shard: str,
        names: Sequence[str],
        filled: Mapping[str, TensorChange],
        kept: Mapping[str, float],
    ) -> dict[str, Any]:
        """What a resumed run needs to know of a whole shard, which is on the disk then."""
        return {
            "bytes": writer.sync(shard),
            "tensors": {name: filled[name].model_dump(mode="json") for name in names},
            "kept": {name: kept[name] for name in names},
        }


def _holds(path: Path, about: Mapping[str, Any]) -> bool:
    """Whether the shard of an earlier run is whole; one without differences has no file."""
    return bool(about["bytes"] == (path.stat().st_size if path.is_file() else 0))


def _layer_norms(changes: dict[str, TensorChange]) -> dict[str, float]:
    squares: dict[str, float] = defaultdict(float)
    for name, change in changes.items():
        if change.stored:
            squares[layer_of(name)] += change.norm**2
    return {layer: math.sqrt(square) for layer, square in squares.items()}
