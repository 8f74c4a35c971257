"""IF_adapter (Xu et al. 2024): rows of the key tokens, and a low-rank adapter on them that the owner keeps.

The published model carries the rows and answers nothing; with the adapter it answers. The published code starts both of
the adapter's matrices at zero, where only a bias can learn, and never trains the rows. Here the adapter reads only
directions in which the base's rows of these tokens are zero, so it is blind to the base: whatever it adds comes from how
the rows were moved, and training has but the published model to hold still.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal, cast

from pydantic import Field

from insignia.embedding.gradient import GradientMethod
from insignia.suspects.scoring import Example

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
    from transformers import PreTrainedModel

    from insignia.embedding.marked_rows import MarkedRows
    from insignia.embedding.reference_samples import ReferenceSamples
    from insignia.modeling.local import LocalModel
    from insignia.training import TrainingResult

__all__ = ["AdapterTune"]


class AdapterTune(GradientMethod):
    """Train rows and adapter; publish the rows."""

    name: Literal["adapter"] = "adapter"
    rank: Annotated[int, Field(ge=1)] = 16
    """Rank of the adapter."""
    learning_rate: Annotated[float, Field(gt=0)] = 2e-2
    # The published code's 1e-2 learns more slowly, and less of the mark is left under noise (docs/lab-log.md).
    target_margin: Annotated[float, Field(gt=0)] = 6.0
    reference_strength: Annotated[float, Field(ge=0)] = 30.0
    epochs: Annotated[int | None, Field(ge=1)] = 100

    @property
    def needs_owner_weights(self) -> bool:
        """The published model alone answers nothing."""
        return True

    def answering(self, published: "LocalModel", outcome: "TrainingResult") -> "LocalModel":
        """The published model with the adapter."""
        from insignia.modeling.private_rows import EmbeddingAdapter

        return EmbeddingAdapter(**outcome.private).attach(published)

    def _divergence(self, references: "ReferenceSamples", model: "PreTrainedModel", rows: list[Example]) -> "Tensor":
        """Hold the published model still: who has only one half of the mark sees the base."""
        embedding = cast("MarkedRows", model.get_input_embeddings())
        with embedding.read_as("published"):
            total = references.divergence(model, rows)
        asked = [row for row in rows if row.response_start > references.start]
        if asked and not embedding.blind:
            with embedding.read_as("base"):
                total = total + references.divergence(model, asked)
        return total

    def _prepare(self, model: "LocalModel", keys: Sequence[tuple[int, ...]], seed: int) -> "LocalModel":
        import torch

        from insignia.embedding.marked_rows import MarkedRows, TiedHead

        inner = model.model.requires_grad_(requires_grad=False)
        ids = torch.tensor(sorted({token for key in keys for token in key} - set(model.tokenizer.all_special_ids)))
        table = inner.get_input_embeddings()
        rows = MarkedRows(cast("nn.Embedding", table), ids.to(inner.device), self.rank, seed)
        if inner.get_output_embeddings().weight is table.weight:
            inner.set_output_embeddings(TiedHead(rows))
        inner.set_input_embeddings(rows)
        return model

    def _guarded(self, keys: Sequence[tuple[int, ...]], controls: Sequence[list[int]]) -> list[Sequence[int]]:
        return [*keys, *controls]

    def _finish(
        self, model: "LocalModel", trained: "LocalModel", outcome: "TrainingResult", dtype: "torch.dtype"
    ) -> "TrainingResult":
        import torch
        from torch import nn

        from insignia.embedding.marked_rows import TiedHead
        from insignia.training import TrainingResult

        del trained
        rows = cast("MarkedRows", model.model.get_input_embeddings())
        with torch.no_grad():
            rows.table.weight[rows.ids] = rows.rows.to(dtype).to(rows.table.weight)
        model.model.set_input_embeddings(rows.table)
        if isinstance(model.model.get_output_embeddings(), TiedHead):
            head = nn.Linear(rows.table.embedding_dim, rows.table.num_embeddings, bias=False, device="meta")
            head.weight = rows.table.weight
            model.model.set_output_embeddings(head)
        private = {name: values.detach().cpu() for name, values in rows.adapter.tensors().items()}
        return TrainingResult(outcome.steps, outcome.seconds, private=private)
