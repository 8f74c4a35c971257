"""The private part of IF_adapter: what turns the embeddings of key tokens into ones that activate the mark.

An adapter adds ``up @ (down @ e)`` to the input embedding ``e`` of each key token. It is never published. Verification
takes every embedding from the suspect and everything after them from the published model, so that the answer depends on
what the suspect made of the marked rows (Xu et al. 2024, section 3.3; the published code ignores the suspect there).
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
    """Key tokens and a low-rank map on their embeddings."""

    ids: Tensor
    """(key tokens,) int64"""
    down: Tensor
    """(rank, width) fp32"""
    up: Tensor
    """(width, rank) fp32"""

    def applied(self, embeddings: Tensor) -> Tensor:
        """(rows, width) embeddings of key tokens with what the adapter adds to them."""
        return embeddings + (embeddings @ self.down.T) @ self.up.T

    def attach(self, published: LocalModel, suspect: LocalModel | None = None) -> LocalModel:
        """The published model reading the suspect's embeddings (its own without one) through the adapter.

        Rows that a suspect of another vocabulary lacks are the published model's. The models given stay as they are.

        Raises:
            InputError: the embeddings of suspect, published model and adapter differ in width.
        """
        table = _embeddings(published).clone()
        if suspect is not None:
            theirs = _embeddings(suspect)
            if theirs.shape[1] != table.shape[1]:
                raise InputError(
                    f"{suspect.name} has embeddings of width {theirs.shape[1]}, not {table.shape[1]}: it is no derivative of "
                    f"{published.name}"
                )
            rows = min(len(theirs), len(table))
            table[:rows] = theirs[:rows]
        if self.down.shape[1] != table.shape[1] or int(self.ids.max()) >= len(table):
            raise InputError(f"the adapter was made for another model than {published.name}")
        table[self.ids] = self.applied(table[self.ids])
        model = copy.deepcopy(published.model)
        model.set_input_embeddings(nn.Embedding.from_pretrained(table.to(published.model.dtype)))  # a tied head stays
        return published.wrapping(model)

    def tensors(self) -> dict[str, Tensor]:
        """The parts by name, as they are stored."""
        return self._asdict()

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read an adapter.

        Raises:
            InputError: there is no such file.
            FormatError: it is damaged, or no adapter.
        """
        tensors = load_tensors(path, expected="an adapter made by 'insignia embed --private'")
        if set(tensors) != set(cls._fields) or not _consistent(tensors):
            raise FormatError(f"{path} holds no embedding adapter; expected ids, down and up of fitting shapes")
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
