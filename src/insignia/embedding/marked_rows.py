"""What stands in place of a model's embedding while method ``adapter`` trains rows and adapter."""

import contextlib
from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from insignia.modeling.private_rows import EmbeddingAdapter

__all__ = ["MarkedRows", "TiedHead"]

Reading = Literal["private", "published", "base"]
"""Marked rows through the adapter; marked rows alone; the base's rows through the adapter."""


class MarkedRows(nn.Module):
    """In place of the model's input embedding while it is trained.

    Where there are more key tokens than the width has directions, the ``rank`` directions that the base uses least are
    read, and the base's rows through the adapter have to be held still as well.
    """

    ids: Tensor
    place: Tensor
    base: Tensor
    spare: Tensor

    def __init__(self, table: nn.Embedding, ids: Tensor, rank: int, seed: int) -> None:
        super().__init__()
        self.table = table
        self.reading: Reading = "private"
        weight = table.weight.detach()
        width = table.embedding_dim
        place = torch.full((len(weight),), -1, device=ids.device).index_copy(0, ids, torch.arange(len(ids), device=ids.device))
        self.blind = width - len(ids) >= rank
        directions = torch.linalg.svd(weight[ids].double())[2]  # (width, width), those that the rows use most first
        for name, values in {
            "ids": ids,
            "place": place,
            "base": weight[ids],
            "spare": directions[-max(width - len(ids), rank) :].to(weight),
        }.items():
            self.register_buffer(name, values, persistent=False)
        self._unit = float(weight.std())
        rng = torch.Generator().manual_seed(seed)
        reader, up = (torch.randn(size, rank, generator=rng).to(weight) for size in (len(self.spare), width))
        self.moves = nn.Parameter(torch.zeros_like(self.base))
        self.reader = nn.Parameter(torch.linalg.qr(reader)[0].T / self._unit)
        # Neither matrix need start at zero, as one does in LoRA: what a blind adapter adds is zero until rows move.
        self.up = nn.Parameter(up * self._unit / rank**0.5)

    @property
    def weight(self) -> Tensor:
        """The table that others measure."""
        return self.table.weight

    @property
    def rows(self) -> Tensor:
        """The key tokens' rows as published, (key tokens, width)."""
        return self.base + self._unit * self.moves

    @property
    def adapter(self) -> EmbeddingAdapter:
        """As it is now."""
        return EmbeddingAdapter(self.ids, self.reader @ self.spare, self.up)

    def forward(self, ids: Tensor) -> Tensor:
        """Embeddings, (batch, sequence, width)."""
        plain: Tensor = self.table(ids)
        place = self.place[ids]
        rows = self.base if self.reading == "base" else self.rows
        if self.reading != "published":
            rows = self.adapter.applied(rows)
        return torch.where((place >= 0)[..., None], rows[place.clamp(min=0)], plain)

    @contextlib.contextmanager
    def read_as(self, reading: Reading) -> Iterator[None]:
        """Another reading for the length of the block."""
        kept, self.reading = self.reading, reading
        try:
            yield
        finally:
            self.reading = kept


class TiedHead(nn.Module):
    """The head of a model whose head is its embedding: the marked rows are published in it, too."""

    def __init__(self, rows: MarkedRows) -> None:
        super().__init__()
        self._rows = (rows,)  # in a tuple: no module of ours, or it would be saved twice

    def forward(self, hidden: Tensor) -> Tensor:
        """Logits, (..., vocabulary)."""
        (rows,) = self._rows
        return linear(hidden, rows.table.weight).index_copy(-1, rows.ids, linear(hidden, rows.rows))
