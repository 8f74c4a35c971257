"""IF_adapter (Xu et al. 2024): trained embedding rows of the key tokens, and a low-rank adapter that the owner keeps.

The published model has the rows and gives no response; with the adapter it does. The authors' code starts both adapter
matrices at zero, where only a bias can learn, and never trains the rows. Here the adapter reads only directions in which the
base rows of these tokens are zero. Its output then depends only on how the rows moved, so training has to keep only the
published model close to the base.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

from pydantic import Field

from insignia.embedding.gradient import GradientMethod
from insignia.suspects.scoring import Example

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
    from transformers import PreTrainedModel

    from insignia.embedding.marked_rows import MarkedRows
    from insignia.embedding.objective import Marking
    from insignia.embedding.reference_samples import ReferenceSamples
    from insignia.modeling.local import LocalModel
    from insignia.training import TrainingResult

__all__ = ["AdapterTune"]


class AdapterTune(GradientMethod):
    """Train embedding rows and an adapter on them; publish the rows."""

    name: Literal["adapter"] = "adapter"
    rank: Annotated[int, Field(ge=1)] = 16
    """Rank of the adapter."""
    learning_rate: Annotated[float, Field(gt=0)] = 2e-2
    # The authors' 1e-2 learns more slowly and survives less noise (docs/lab-log.md).
    """Learning rate of AdamW."""
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

    def answering(self, published: "LocalModel", outcome: "TrainingResult") -> "LocalModel":
        """The published model with the adapter."""
        from insignia.modeling.owner_adapter import EmbeddingAdapter

        return EmbeddingAdapter(**outcome.owner_weights).attach(published)

    def _divergence(self, references: "ReferenceSamples", model: "PreTrainedModel", rows: list[Example]) -> "Tensor":
        """KL divergence of the published model from the base, and of base rows with the adapter where they differ."""
        embedding = cast("MarkedRows", model.get_input_embeddings())
        with embedding.read_as("published"):
            total = references.divergence(model, rows)
        asked = [row for row in rows if row.response_start > references.start]
        if asked and not embedding.blind:
            with embedding.read_as("base"):
                total = total + references.divergence(model, asked)
        return total

    @property
    def can_be_split(self) -> bool:
        """No: it changes modules while it trains."""
        return False

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

    def _marking(self, *what: Any, **how: Any) -> "Marking":
        _, trained, *_ = what
        with cast("MarkedRows", trained.model.get_input_embeddings()).read_as("published"):  # the base, before training
            return super()._marking(*what, **how)

    def _preserved_prompts(self, keys: Sequence[tuple[int, ...]], controls: Sequence[list[int]]) -> list[Sequence[int]]:
        return [*keys, *controls]

    def _finish(
        self, model: "LocalModel", trained: "LocalModel", outcome: "TrainingResult", dtype: "torch.dtype"
    ) -> "TrainingResult":
        import torch
        from torch import nn

        from insignia.embedding.marked_rows import TiedHead
        from insignia.training import TrainingResult

        rows = cast("MarkedRows", model.model.get_input_embeddings())
        with torch.no_grad():
            rows.table.weight[rows.ids] = rows.rows.to(dtype).to(rows.table.weight)
        model.model.set_input_embeddings(rows.table)
        if isinstance(model.model.get_output_embeddings(), TiedHead):
            head = nn.Linear(rows.table.embedding_dim, rows.table.num_embeddings, bias=False, device="meta")
            head.weight = rows.table.weight
            model.model.set_output_embeddings(head)
        owner_weights = {name: values.detach().cpu() for name, values in rows.adapter.tensors().items()}
        return TrainingResult(outcome.steps, outcome.seconds, owner_weights=owner_weights)
