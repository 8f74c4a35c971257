"""Embedding in blocks: parts of a mark that work in any combination, so that every licensee can have their own."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from insignia.embedding.gradient import GradientMethod
from insignia.errors import InputError
from insignia.fingerprints.sets import FingerprintSet
from insignia.terminal import counted

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from transformers import PreTrainedModel

    from insignia.embedding.objective import Marking
    from insignia.embedding.reference_samples import ReferenceSamples
    from insignia.modeling.block_adapters import BlockAdapters
    from insignia.modeling.local import LocalModel
    from insignia.suspects.scoring import Example
    from insignia.training import TrainingResult

__all__ = ["Blocks"]


class Blocks(GradientMethod):
    """Train blocks of low rank at once, switched on and off at random, each with its own fingerprints.

    Fingerprint n is in block n modulo ``blocks``. The model that is written has every block; copies for licensees have some
    (``insignia issue``), and harm is measured with every second one. The owner weights are the blocks.
    """

    name: Literal["blocks"] = "blocks"
    blocks: Annotated[int, Field(ge=1, le=2**16)] = 32
    """Number of blocks; 'plan --licensees' says how many it takes."""
    rank: Annotated[int, Field(ge=1)] = 2
    """Rank of each block."""
    learning_rate: Annotated[float, Field(gt=0)] = 2e-3
    """Learning rate of AdamW."""
    batch_size: Annotated[int, Field(ge=0)] = 32
    """Fingerprints per step, over all processes, each with its block and without it. 0: all of them."""
    reference_length: Annotated[int, Field(ge=2)] = 24
    """Length of a reference sample, in tokens; at most the model's context length."""
    cooldown_steps: Annotated[int | None, Field(ge=0)] = 400
    """Cooldown steps after all fingerprints are learned. With fewer, copies are harmed more (docs/lab-log.md)."""

    def require(self, prints: FingerprintSet) -> None:
        """Raise InputError if there are fewer fingerprints than blocks, or two have the same key."""
        keys = {fingerprint.asked_key for fingerprint in prints}
        if len(keys) < max(self.blocks, len(prints)):
            raise InputError(
                f"{counted(len(keys), 'different key')} among {len(prints)} for {counted(self.blocks, 'block')}; expected at"
                " least one for each block, and no key twice"
            )

    @property
    def _patience(self) -> int:
        return max(2, super()._patience)  # visits, each among other blocks

    @property
    def can_be_split(self) -> bool:
        """No: it changes modules while it trains."""
        return False

    def as_given(self, published: "LocalModel", outcome: "TrainingResult") -> AbstractContextManager[None]:
        """A copy with half of the blocks, as a licensee may get it."""
        import torch

        from insignia.modeling.block_adapters import without_ranks
        from insignia.modeling.lora import products_of

        left_out = torch.arange(self.blocks * self.rank) // self.rank % 2 == 1
        return without_ranks(published.model, products_of(outcome.owner_weights), left_out)

    def _prepare(self, model: "LocalModel", keys: Sequence[tuple[int, ...]], seed: int) -> "LocalModel":
        from insignia.modeling.block_adapters import BlockAdapters

        BlockAdapters(model.model, blocks=self.blocks, rank=self.rank, seed=seed)
        return model

    def _marking(self, *what: Any, **how: Any) -> "Marking":
        from insignia.embedding.block_marking import BlockMarking

        curriculum, trained, *rest = what
        return BlockMarking(self, curriculum, trained, *rest, adapters=_adapters(trained.model), **how)

    def _divergence(self, references: "ReferenceSamples", model: "PreTrainedModel", rows: list["Example"]) -> "Tensor":
        adapters = _adapters(model)
        with adapters.on(adapters.subsets(len(rows))):
            return references.divergence(model, rows)

    def _finish(
        self, model: "LocalModel", trained: "LocalModel", outcome: "TrainingResult", dtype: "torch.dtype"
    ) -> "TrainingResult":
        from insignia.modeling.lora import add_products, factors_of
        from insignia.training import TrainingResult

        adapters = _adapters(trained.model)
        added = adapters.products()
        model.model = adapters.remove(trained.model)
        add_products(model.model, added, dtype)
        return TrainingResult(outcome.steps, outcome.seconds, owner_weights=factors_of(added), blocks=self.blocks)


def _adapters(model: "PreTrainedModel") -> "BlockAdapters":
    from insignia.modeling.block_adapters import adapters_of

    found = adapters_of(model)
    assert found is not None  # noqa: S101  # for the type checker: _prepare made them
    return found
