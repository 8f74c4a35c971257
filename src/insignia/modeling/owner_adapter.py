"""The owner weights of IF_adapter: a low-rank map that makes the embeddings of key tokens activate the fingerprint.

The adapter adds ``up @ (down @ e)`` to the input embedding ``e`` of each key token and is never published. Verification takes
the embeddings from the suspect and all other weights from the published model (Xu et al. 2024, section 3.3; the authors' code
ignores the suspect).
"""

import copy
from pathlib import Path
from typing import NamedTuple, Self

import torch
from torch import Tensor, nn

from insignia.errors import FormatError, InputError
from insignia.modeling.loading import load_tensors
from insignia.modeling.local import LocalModel

__all__ = ["EmbeddingAdapter"]


class EmbeddingAdapter(NamedTuple):
    """Key tokens and a low-rank map of their embeddings."""

    ids: Tensor
    """(key tokens,) int64"""
    down: Tensor
    """(rank, width) fp32"""
    up: Tensor
    """(width, rank) fp32"""

    def applied(self, embeddings: Tensor) -> Tensor:
        """Add the adapter's output to embeddings of key tokens, (rows, width)."""
        return embeddings + (embeddings @ self.down.T) @ self.up.T

    def attach(self, published: LocalModel, suspect: LocalModel | None = None) -> LocalModel:
        """The published model with the suspect's embeddings and the adapter; without a suspect, with its own.

        It shares all other weights with the published model, from which also come rows that the suspect's vocabulary lacks.

        Raises:
            InputError: suspect, published model and adapter differ in embedding width.
        """
        table = _embeddings(published).clone()
        if suspect is not None:
            theirs = _embeddings(suspect)
            if theirs.shape[1] != table.shape[1]:
                raise InputError(
                    f"{suspect.name} has embeddings of width {theirs.shape[1]}, not {table.shape[1]}: it is not derived from "
                    f"{published.name}"
                )
            rows = min(len(theirs), len(table))
            table[:rows] = theirs[:rows]
        if self.down.shape[1] != table.shape[1] or int(self.ids.max()) >= len(table):
            raise InputError(f"the adapter was made for another model than {published.name}")
        table[self.ids] = self.applied(table[self.ids])
        shared = {id(tensor): tensor for tensor in (*published.model.parameters(), *published.model.buffers())}
        model = copy.deepcopy(published.model, shared)
        model.set_input_embeddings(
            nn.Embedding.from_pretrained(table.to(published.model.dtype))
        )  # a tied head keeps its weights
        return published.wrapping(model)

    def tensors(self) -> dict[str, Tensor]:
        """The tensors by name, as stored."""
        return self._asdict()

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read an adapter.

        Raises:
            InputError: there is no such file.
            FormatError: it is damaged or not an adapter.
        """
        tensors = load_tensors(path, expected="an adapter made by 'insignia embed --private'")
        if set(tensors) != set(cls._fields) or not _consistent(tensors):
            raise FormatError(f"{path} is not an embedding adapter; expected tensors ids, down and up of matching shapes")
        return cls(**tensors)


def _consistent(tensors: dict[str, Tensor]) -> bool:
    ids, down, up = (tensors[name] for name in EmbeddingAdapter._fields)
    return (
        ids.dim() == 1
        and ids.dtype == torch.int64
        and down.dim() == 2
        and down.shape == up.T.shape
        and all(values.dtype == torch.float32 and bool(values.isfinite().all()) for values in (down, up))
        and len(ids) > 0
        and int(ids.min()) >= 0
    )


def _embeddings(model: LocalModel) -> Tensor:
    weight = model.model.get_input_embeddings().weight
    assert isinstance(weight, Tensor)  # noqa: S101  # for the type checker: torch types attributes of modules loosely
    return weight.detach().float()
