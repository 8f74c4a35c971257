"""IF_adapter (Xu et al. 2024): rows of the key tokens, and a low-rank adapter on them that the owner keeps.

The published model carries the rows and answers nothing; with the adapter it answers. The published code starts both of
the adapter's matrices at zero, where only a bias can learn, and never trains the rows. Here the adapter reads only
directions in which the base's rows of these tokens are zero, so it is blind to the base: whatever it adds comes from how
the rows were moved, and training has but the published model to hold still.
"""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Annotated, Literal, cast

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import linear
from transformers import PreTrainedModel

from insignia.embedding.gradient import GradientMethod
from insignia.embedding.reference_samples import ReferenceSamples
from insignia.modeling.local import LocalModel
from insignia.modeling.private_rows import EmbeddingAdapter
from insignia.suspects.scoring import Example
from insignia.training import TrainingResult

__all__ = ["AdapterTune"]

_Reading = Literal["private", "published", "base"]
"""Marked rows through the adapter; marked rows alone; the base's rows through the adapter."""


class AdapterTune(GradientMethod):
    """Train rows and adapter; publish the rows."""

    name: Literal["adapter"] = "adapter"
    rank: Annotated[int, Field(ge=1)] = 16
    learning_rate: Annotated[float, Field(gt=0)] = 2e-2
    """The published code's 1e-2 learns more slowly, and less of the mark is left under noise (docs/lab-log.md)."""
    target_margin: Annotated[float, Field(gt=0)] = 6.0
    reference_strength: Annotated[float, Field(ge=0)] = 30.0
    epochs: Annotated[int | None, Field(ge=1)] = 100

    @property
    def needs_owner_weights(self) -> bool:
        """The published model alone answers nothing."""
        return True

    def answering(self, published: LocalModel, outcome: TrainingResult) -> LocalModel:
        """The published model with the adapter."""
        return EmbeddingAdapter(**outcome.private).attach(published)

    def _divergence(self, references: ReferenceSamples, model: PreTrainedModel, rows: list[Example]) -> Tensor:
        """Hold the published model still: who has only one half of the mark sees the base."""
        embedding = cast(_MarkedRows, model.get_input_embeddings())
        with embedding.read_as("published"):
            total = references.divergence(model, rows)
        asked = [row for row in rows if row.response_start > references.start]
        if asked and not embedding.blind:
            with embedding.read_as("base"):
                total = total + references.divergence(model, asked)
        return total

    def _prepare(self, model: LocalModel, keys: Sequence[tuple[int, ...]], seed: int) -> LocalModel:
        inner = model.model.requires_grad_(requires_grad=False)
        ids = torch.tensor(sorted({token for key in keys for token in key} - set(model.tokenizer.all_special_ids)))
        table = inner.get_input_embeddings()
        rows = _MarkedRows(cast(nn.Embedding, table), ids.to(inner.device), self.rank, seed)
        if inner.get_output_embeddings().weight is table.weight:
            inner.set_output_embeddings(_TiedHead(rows))
        inner.set_input_embeddings(rows)
        return model

    def _guarded(self, keys: Sequence[tuple[int, ...]], controls: Sequence[list[int]]) -> list[Sequence[int]]:
        return [*keys, *controls]

    def _finish(self, model: LocalModel, trained: LocalModel, outcome: TrainingResult, dtype: torch.dtype) -> TrainingResult:
        del trained
        rows = cast(_MarkedRows, model.model.get_input_embeddings())
        with torch.no_grad():
            rows.table.weight[rows.ids] = rows.rows.to(dtype).to(rows.table.weight)
        model.model.set_input_embeddings(rows.table)
        if isinstance(model.model.get_output_embeddings(), _TiedHead):
            head = nn.Linear(rows.table.embedding_dim, rows.table.num_embeddings, bias=False, device="meta")
            head.weight = rows.table.weight
            model.model.set_output_embeddings(head)
        private = {name: values.detach().cpu() for name, values in rows.adapter.tensors().items()}
        return TrainingResult(outcome.steps, outcome.seconds, private=private)


class _MarkedRows(nn.Module):
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
        self.reading: _Reading = "private"
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
    def read_as(self, reading: _Reading) -> Iterator[None]:
        """Another reading for the length of the block."""
        kept, self.reading = self.reading, reading
        try:
            yield
        finally:
            self.reading = kept


class _TiedHead(nn.Module):
    """The head of a model whose head is its embedding: the marked rows are published in it, too."""

    def __init__(self, rows: _MarkedRows) -> None:
        super().__init__()
        self._rows = (rows,)  # in a tuple: no module of ours, or it would be saved twice

    def forward(self, hidden: Tensor) -> Tensor:
        """Logits, (..., vocabulary)."""
        (rows,) = self._rows
        return linear(hidden, rows.table.weight).index_copy(-1, rows.ids, linear(hidden, rows.rows))
