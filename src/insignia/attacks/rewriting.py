"""Change a model's files tensor by tensor. Memory holds one tensor of each model at a time."""

import math
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from insignia.attacks.base import WeightAttack
from insignia.checkpoints import Checkpoint, CheckpointWriter, Entry
from insignia.errors import ModelError
from insignia.files import new_folder, read_json, refuse_overlap
from insignia.modeling.dtypes import DTYPES
from insignia.modeling.saving import copy_companions
from insignia.modeling.sources import Source, opened_files, source_name
from insignia.progress import Progress
from insignia.randomness import KeyedRandom
from insignia.records import Displayed
from insignia.vectors.alignment import is_embedding

__all__ = ["Change", "WeightsReport", "chance_of", "is_linear", "rewrite", "smallest", "values_of"]

Change = Callable[[Entry, Tensor], Tensor | None]
"""New values of a tensor from its values, both in fp32 (fp64 where it is stored so); None: it stays as it is."""

_POSITIONS = ("wpe.weight", "embed_positions.weight")  # a row for each position


class WeightsReport(Displayed):
    """Result of an attack by arithmetic on the weights."""

    out: str
    attack: dict[str, object]
    tensors: int
    tensors_changed: int
    relative_change: float
    """Euclidean norm of what changed over that of the weights before."""
    seconds: float

    @property
    def heading(self) -> str:
        """What was written."""
        return f"{self.out}: attacked by {self.attack['name']}"

    def summary(self) -> list[tuple[str, str]]:
        """How much changed."""
        return [
            ("tensors changed", f"{self.tensors_changed} of {self.tensors}"),
            ("change, relative to the weights", f"{self.relative_change:.4g}"),
            ("time", f"{self.seconds:.2f} s"),
        ]


def rewrite(model: Source, out: Path, change: Change, *, attack: WeightAttack, progress: Progress) -> WeightsReport:
    """Write the model with changed floating-point tensors to ``out``, whole or not at all; replaces an existing folder.

    Values are rounded once to the stored dtype. Names, shards, tied weights and all other files stay as they are.

    Raises:
        ModelError: the model is damaged or quantized, or the result is not finite.
        OutputError: ``out`` overlaps the model or cannot be written, or the disk is full.
    """
    started = time.perf_counter()
    with opened_files(model) as checkpoint:
        source = checkpoint.folder
        refuse_overlap(out, source)
        _refuse_quantized(source, source_name(model))
        entries = checkpoint.entries.values()
        changed, difference, whole = 0, 0.0, 0.0
        with (
            new_folder(out, force=True) as scratch,
            CheckpointWriter(scratch, checkpoint.headers) as writer,
            progress.bar(attack.name, sum(entry.size for entry in entries), unit="B") as advance,
        ):
            for entry in entries:
                content = checkpoint.read(entry)
                if entry.dtype in DTYPES and entry.numel:
                    before = _wide(torch.frombuffer(content, dtype=DTYPES[entry.dtype]).view(entry.shape))
                    whole += _square(before)
                    if (after := change(entry, before)) is not None:
                        stored = _stored(after, entry)
                        changed, difference = changed + 1, difference + _square(_wide(stored) - before)
                        content = bytearray(stored.view(-1).view(torch.uint8).numpy().data)
                writer.write(entry.name, 0, memoryview(content))
                advance(len(content))
            copy_companions(source, scratch)
    return WeightsReport(
        out=str(out),
        attack=attack.spec(),
        tensors=len(entries),
        tensors_changed=changed,
        relative_change=math.sqrt(difference / whole) if whole else 0.0,
        seconds=round(time.perf_counter() - started, 3),
    )


def values_of(checkpoint: Checkpoint, entry: Entry) -> Tensor:
    """A tensor of another model, in fp32 (fp64 where it is stored so).

    Raises:
        ModelError: it is quantized.
    """
    if entry.dtype not in DTYPES:
        raise ModelError(
            f"{checkpoint.folder}: {entry.name} is stored as {entry.dtype}; use the model from before quantization"
        )
    return _wide(torch.frombuffer(checkpoint.read(entry), dtype=DTYPES[entry.dtype]).view(entry.shape))


def is_linear(entry: Entry) -> bool:
    """Whether the tensor is a weight matrix of a block: no embedding, output head, bias or norm."""
    return len(entry.shape) >= 2 and not is_embedding(entry.name) and not entry.name.endswith(_POSITIONS)


def chance_of(seed: int, *labels: str | int) -> torch.Generator:
    """Random numbers for one tensor, whatever the order in which tensors are read."""
    return torch.Generator().manual_seed(KeyedRandom(b"attack").derive(seed, *labels).below(2**63))


def smallest(values: Tensor, count: int) -> Tensor:
    """Mask of the ``count`` values of least magnitude; among equals, the first."""
    if count == 0:
        return torch.zeros_like(values, dtype=torch.bool)
    sizes = values.abs().view(-1)
    limit = sizes.kthvalue(count).values
    chosen = sizes < limit
    equal = (sizes == limit).nonzero()[: count - int(chosen.sum()), 0]
    chosen[equal] = True
    return chosen.view(values.shape)


def _wide(values: Tensor) -> Tensor:
    return values if values.dtype == torch.float64 else values.float()


def _square(values: Tensor) -> float:
    return float(values.double().square().sum()) if values.dtype == torch.float64 else float(values.norm()) ** 2


def _stored(values: Tensor, entry: Entry) -> Tensor:
    stored = values.to(DTYPES[entry.dtype]).contiguous()
    if stored.shape != entry.shape:
        raise ModelError(f"{entry.name} became {list(stored.shape)}; expected {list(entry.shape)}")
    if not stored.isfinite().all():
        raise ModelError(f"{entry.name} would contain NaN or a value too large for {entry.dtype}; is a model damaged?")
    return stored


def _refuse_quantized(folder: Path, name: str) -> None:
    if "quantization_config" in read_json(folder / "config.json"):
        raise ModelError(f"{name} is quantized; expected the model from before quantization")
