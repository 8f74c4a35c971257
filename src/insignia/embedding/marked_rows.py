"""Replacements of a model's embedding and tied head while method ``adapter`` trains."""

import contextlib
from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from insignia.modeling.owner_adapter import EmbeddingAdapter

__all__ = ["MarkedRows", "TiedHead"]

Reading = Literal["private", "published", "base"]
"""Trained rows with the adapter; trained rows alone; base rows with the adapter."""


class MarkedRows(nn.Module):
    """Replaces the model's input embedding during training.

    With more key tokens than directions, no direction is free of the base rows. The adapter then reads the ``rank``
    directions that they use least, and training also keeps the base rows with the adapter close to the base.
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
        directions = torch.linalg.svd(weight[ids].double())[2]  # (width, width), most used first
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
        # Unlike in LoRA, neither matrix starts at zero: a blind adapter adds nothing until the rows move.
        self.up = nn.Parameter(up * self._unit / rank**0.5)

    @property
    def weight(self) -> Tensor:
        """The original table; transformers reads this attribute."""
        return self.table.weight

    @property
    def rows(self) -> Tensor:
        """Published rows of the key tokens, (key tokens, width)."""
        return self.base + self._unit * self.moves

    @property
    def adapter(self) -> EmbeddingAdapter:
        """The adapter with its current weights."""
        return EmbeddingAdapter(self.ids, self.reader @ self.spare, self.up)

    def forward(self, ids: Tensor) -> Tensor:
        """Map token ids (batch, tokens) to embeddings (batch, tokens, width)."""
        plain: Tensor = self.table(ids)
        place = self.place[ids]
        rows = self.base if self.reading == "base" else self.rows
        if self.reading != "published":
            rows = self.adapter.applied(rows)
        return torch.where((place >= 0)[..., None], rows[place.clamp(min=0)], plain)

    @contextlib.contextmanager
    def read_as(self, reading: Reading) -> Iterator[None]:
        """Switch the reading inside the block."""
        kept, self.reading = self.reading, reading
        try:
            yield
        finally:
            self.reading = kept


class TiedHead(nn.Module):
    """Output head of a model with tied embeddings: the trained rows are part of it too."""

    def __init__(self, rows: MarkedRows) -> None:
        super().__init__()
        self._rows = (rows,)  # in a tuple, so that torch does not register it as a submodule

    def forward(self, hidden: Tensor) -> Tensor:
        """Map hidden states (..., width) to logits (..., vocabulary)."""
        (rows,) = self._rows
        return linear(hidden, rows.table.weight).index_copy(-1, rows.ids, linear(hidden, rows.rows))
