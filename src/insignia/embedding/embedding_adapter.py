"""IF_adapter (Xu et al. 2024): trained embedding rows of the key tokens, and a low-rank adapter that the owner keeps.

The published model has the rows and gives no response; with the adapter it does. The authors' code starts both adapter
matrices at zero, where only a bias can learn, and never trains the rows. Here the adapter reads only directions in which the
base rows of these tokens are zero. Its output then depends only on how the rows moved, so training has to keep only the
published model close to the base.
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
from insignia.modeling.owner_adapter import EmbeddingAdapter
from insignia.suspects.scoring import Example
from insignia.training import TrainingResult

__all__ = ["AdapterTune"]

_Reading = Literal["private", "published", "base"]
"""Trained rows with the adapter; trained rows alone; base rows with the adapter."""


class AdapterTune(GradientMethod):
    """Train embedding rows and an adapter on them; publish the rows."""

    name: Literal["adapter"] = "adapter"
    rank: Annotated[int, Field(ge=1)] = 16
    """Rank of the adapter."""
    learning_rate: Annotated[float, Field(gt=0)] = 2e-2
    """Learning rate of AdamW. The authors' 1e-2 learns more slowly and survives less noise (docs/lab-log.md)."""
    target_margin: Annotated[float, Field(gt=0)] = 6.0
    """Logits by which a response leads before training leaves it alone."""
    reference_strength: Annotated[float, Field(ge=0)] = 30.0
    """Weight of KL(base || model) on the reference samples."""
    epochs: Annotated[int | None, Field(ge=1)] = 100
    """Maximum number of passes over the fingerprints that are not learned yet."""

    @property
    def needs_owner_weights(self) -> bool:
        """True: the published model alone gives no response."""
        return True

    def answering(self, published: LocalModel, outcome: TrainingResult) -> LocalModel:
        """The published model with the adapter."""
        return EmbeddingAdapter(**outcome.owner_weights).attach(published)

    def _divergence(self, references: ReferenceSamples, model: PreTrainedModel, rows: list[Example]) -> Tensor:
        """KL divergence of the published model from the base, and of base rows with the adapter where they differ."""
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

    def _preserved_prompts(self, keys: Sequence[tuple[int, ...]], controls: Sequence[list[int]]) -> list[Sequence[int]]:
        return [*keys, *controls]

    def _finish(self, model: LocalModel, trained: LocalModel, outcome: TrainingResult, dtype: torch.dtype) -> TrainingResult:
        rows = cast(_MarkedRows, model.model.get_input_embeddings())
        with torch.no_grad():
            rows.table.weight[rows.ids] = rows.rows.to(dtype).to(rows.table.weight)
        model.model.set_input_embeddings(rows.table)
        if isinstance(model.model.get_output_embeddings(), _TiedHead):
            head = nn.Linear(rows.table.embedding_dim, rows.table.num_embeddings, bias=False, device="meta")
            head.weight = rows.table.weight
            model.model.set_output_embeddings(head)
        owner_weights = {name: values.detach().cpu() for name, values in rows.adapter.tensors().items()}
        return TrainingResult(outcome.steps, outcome.seconds, owner_weights=owner_weights)


class _MarkedRows(nn.Module):
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
        self.reading: _Reading = "private"
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
    def read_as(self, reading: _Reading) -> Iterator[None]:
        """Switch the reading inside the block."""
        kept, self.reading = self.reading, reading
        try:
            yield
        finally:
            self.reading = kept


class _TiedHead(nn.Module):
    """Output head of a model with tied embeddings: the trained rows are part of it too."""

    def __init__(self, rows: _MarkedRows) -> None:
        super().__init__()
        self._rows = (rows,)  # in a tuple, so that torch does not register it as a submodule

    def forward(self, hidden: Tensor) -> Tensor:
        """Map hidden states (..., width) to logits (..., vocabulary)."""
        (rows,) = self._rows
        return linear(hidden, rows.table.weight).index_copy(-1, rows.ids, linear(hidden, rows.rows))
