"""A saved fingerprint vector."""

import contextlib
import functools
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from insignia.checkpoints import LEFT, RIGHT, Checkpoint, Entry
from insignia.errors import FormatError, InputError
from insignia.files import canonical, read_json
from insignia.modeling.dtypes import DTYPES
from insignia.registry import explain
from insignia.vectors.layout import FILE, SKETCH, VOCABULARY, VectorFile
from insignia.vectors.stored_rows import Scratch

__all__ = ["FingerprintVector"]


class FingerprintVector:
    """A saved vector: the differences that stamping adds to a model. Use it as a context manager; it keeps files open.

    Raises:
        InputError: the folder holds no vector, or not these blocks.
        FormatError: ``vector.json`` is damaged or does not match the tensors.
        ModelError: a shard is damaged or missing.
    """

    def __init__(self, folder: str | os.PathLike[str], *, blocks: Sequence[int] | None = None) -> None:
        """Open the folder. With ``blocks``, only these blocks of a vector of method ``blocks`` are added."""
        self.folder = Path(folder)
        if not (self.folder / FILE).is_file():
            raise InputError(f"{self.folder} has no {FILE}; expected a folder made by 'insignia vector'")
        value = read_json(self.folder / FILE)
        try:
            if isinstance(value, dict) and isinstance(found := value.get("schema_version"), int) and found > 1:
                raise FormatError(f"{self.folder}: schema {found} is newer than this insignia reads (1); upgrade insignia")
            self.file = VectorFile.model_validate(value)
        except ValidationError as error:
            raise FormatError(f"{self.folder / FILE}: {explain(error)}") from None
        self._blocks = blocks
        if blocks is not None and not set(blocks) <= set(range(self.file.blocks or 0)):
            raise InputError(f"{self.folder} has {self.file.blocks or 'no'} blocks; expected a vector of method 'blocks'")
        self._differences = Checkpoint(self.folder)
        with contextlib.ExitStack() as undo:
            undo.enter_context(self._differences)
            self._check()
            undo.pop_all()

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Self:
        """Open a saved vector."""
        return cls(folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._differences.__exit__(kind, error, trace)

    @property
    def changed(self) -> list[str]:
        """Names of the base's tensors with a stored difference."""
        return [name for name, change in self.file.tensors.items() if change.stored]

    @property
    def vocabulary(self) -> list[str | None] | None:
        """The base's tokens by id; None if no embedding is stored."""
        path = self.folder / VOCABULARY
        return read_json(path) if path.is_file() else None

    def identity(self) -> dict[str, Any]:
        """Plain data that another vector, or other blocks of it, would not have."""
        file = canonical(self.file.model_dump(mode="json"))
        return {"file": hashlib.sha256(file).hexdigest(), "blocks": None if self._blocks is None else list(self._blocks)}

    def sketch(self) -> dict[str, Tensor]:
        """Sampled weights of the base; see ``lineage.sketch``."""
        try:
            return load_file(self.folder / SKETCH)
        except (SafetensorError, OSError) as error:
            raise FormatError(f"{self.folder / SKETCH} is damaged or missing ({error}); copy the vector again") from error

    def add_rounded(self, name: str, first: int, last: int, *, to: Tensor, scale: float, scratch: Scratch) -> bool:
        """Add to weights in their own dtype what ``add`` would add in fp32, rounded once; False where that takes a copy.

        Factors are added to bfloat16 where the processor has matrix units: a fifth of the time. To 2^-16 of the difference.
        """
        if self.file.tensors[name].rank is None:
            if abs(scale) != 1 or DTYPES.get(self._differences.entries[name].dtype) != to.dtype:
                return False
            to.add_(scratch.stored("difference", self._differences, self._differences.entries[name], first, last), alpha=scale)
            return True
        if to.dtype != torch.bfloat16 or not has_matrix_units():
            return False
        left, right = scratch.kept((self, scale), name, lambda: _in_parts(*self._factors(name, scratch), scale))
        matrix = to.view(-1, right.shape[1])
        torch.addmm(matrix, left[first:last], right, out=matrix)  # the sum is in fp32
        return True

    def add(self, name: str, first: int, last: int, *, to: Tensor, scale: float, scratch: Scratch) -> None:
        """Add ``scale`` times rows ``first`` to ``last`` of a difference to ``to`` (fp32). Thread-safe."""
        if self.file.tensors[name].rank is None:
            to.add_(scratch.stored("difference", self._differences, self._differences.entries[name], first, last), alpha=scale)
            return
        left, right = scratch.kept(self, name, lambda: self._factors(name, scratch))
        torch.addmm(to.view(-1, right.shape[1]), left[first:last], right, alpha=scale, out=to.view(-1, right.shape[1]))

    def _factors(self, name: str, scratch: Scratch) -> tuple[Tensor, Tensor]:
        """Both factors in fp32, with the columns and rows of the chosen blocks alone."""
        left, right = (self._differences.entries[name + end] for end in (LEFT, RIGHT))
        one = scratch.fp32("left", self._differences, left, 0, left.shape[0]).view(left.shape)
        other = scratch.fp32("right", self._differences, right, 0, right.shape[0]).view(right.shape)
        if self._blocks is None:
            return one.clone(), other.clone()
        chosen = self._columns(right.shape[0])
        return one.index_select(1, chosen), other.index_select(0, chosen)

    def _columns(self, rank: int) -> Tensor:
        """Columns of the left factor that belong to the chosen blocks."""
        each = rank // (self.file.blocks or 1)
        starts = torch.tensor(self._blocks, dtype=torch.long) * each
        return (starts[:, None] + torch.arange(each)).flatten()

    def _check(self) -> None:
        for name in self.changed:
            change = self.file.tensors[name]
            if self.file.blocks and (change.rank is None or change.rank % self.file.blocks):
                raise FormatError(f"{self.folder}: {name} is not divided into the {self.file.blocks} blocks of {FILE}")
            for part, shape in change.parts(name).items():
                found: Entry | None = self._differences.entries.get(part)
                if found is None or found.shape != shape:
                    raise FormatError(
                        f"{self.folder}: the difference of {name} is missing or has another shape than in {FILE}; copy it again"
                    )


@functools.cache
def has_matrix_units() -> bool:
    """Whether torch multiplies bfloat16 matrices in matrix units (Intel's AMX), whose sums are in fp32."""
    known: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()  # torch 2.6 has none
    return bool(known.get("amx_bf16")) and torch.backends.mkldnn.is_available()


def _in_parts(left: Tensor, right: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """Factors in bfloat16 with the product ``scale * left @ right`` to 2^-16: each one rounded, beside what that leaves."""
    left = left * scale
    one, other = left.bfloat16(), right.bfloat16()
    return torch.cat([one, (left - one).bfloat16(), one], 1), torch.cat([other, other, (right - other).bfloat16()])
