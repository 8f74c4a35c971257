"""Methods that train the model's own weights: all of them, or the input embeddings alone."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from insignia.embedding.base import Session
from insignia.embedding.gradient import GradientMethod
from insignia.errors import InputError
from insignia.fingerprints.sets import FingerprintSet
from insignia.progress import Progress

if TYPE_CHECKING:
    from insignia.embedding.objective import Marking
    from insignia.modeling.local import LocalModel
    from insignia.training import LoopOptions, TrainingResult

__all__ = ["EmbeddingTune", "FullFineTune", "SupervisedFineTune"]


class FullFineTune(GradientMethod):
    """Train every weight except the embeddings, as OML 1.0 does."""

    name: Literal["full"] = "full"
    train_embeddings: bool = False
    """Train the embeddings too. Every text uses them, so this doubles the harm."""
    precision: Literal["float32", "mixed", "bfloat16"] = "float32"
    """Number format of weights and gradients while they are trained. mixed: bfloat16 with float32 master weights; bfloat16:
    without them, rounded stochastically."""
    merge_weight: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Weight of the marked model in a merge with the original in which fingerprints have to be learned, too. 1: none. Each step
    computes such a merge, with one more copy of the trained weights."""

    @property
    def can_be_split(self) -> bool:
        """Unless a merge is computed while training, or weights or states are kept in fewer bits: they need whole weights."""
        return self.merge_weight == 1 and self.precision == "float32" and self.optimizer_states != "8bit"

    @property
    def dtype(self) -> str:
        """The dtype to load the weights in."""
        return "float32" if self.precision == "float32" else "bfloat16"

    def _loop(self, max_steps: int, session: Session) -> "LoopOptions":
        return dataclasses.replace(super()._loop(max_steps, session), master=self.precision == "mixed")

    def _prepare(self, model: "LocalModel", keys: Sequence[tuple[int, ...]], seed: int) -> "LocalModel":
        if not self.train_embeddings:
            model.model.get_input_embeddings().requires_grad_(requires_grad=False)
            model.model.get_output_embeddings().requires_grad_(requires_grad=False)
        return model

    def _marking(self, *what: Any, **how: Any) -> "Marking":
        return super()._marking(*what, **how, merge_weight=self.merge_weight)


class SupervisedFineTune(FullFineTune):
    """IF_SFT (Xu et al. 2024): full fine-tuning on fingerprints, with the set's controls as regularization.

    A control keeps the base model's reply. A trained refusal would be visible to users.
    """

    # mypy expects the parent's literal here
    name: Literal["sft"] = "sft"  # type: ignore[assignment]
    epochs: Annotated[int | None, Field(ge=1)] = 150
    """Maximum number of passes over the fingerprints that are not learned yet."""
    cooldown_steps: Annotated[int | None, Field(ge=0)] = 200
    """Cooldown steps after all fingerprints are learned. With more steps, fewer controls activate."""
    reference_rows: Annotated[int, Field(ge=1)] = 24
    """Reference samples in each step, half of them controls. With fewer, near misses activate (docs/lab-log.md)."""

    def embed(self, prints: FingerprintSet, model: "LocalModel", session: Session, progress: Progress) -> "TrainingResult":
        """Train; see ``Method.embed``. A set without controls is an InputError."""
        if not prints.controls:
            raise InputError("method 'sft' needs a set with controls; strategy 'instructional' makes them, or use 'full'")
        return super().embed(prints, model, session, progress)


class EmbeddingTune(GradientMethod):
    """IF_emb (Xu et al. 2024): train the input embeddings alone, and with them a tied output head."""

    name: Literal["embedding"] = "embedding"
    learning_rate: Annotated[float, Field(gt=0)] = 4e-3
    """Learning rate of AdamW."""

    def _prepare(self, model: "LocalModel", keys: Sequence[tuple[int, ...]], seed: int) -> "LocalModel":
        model.model.requires_grad_(requires_grad=False)
        model.model.get_input_embeddings().requires_grad_(requires_grad=True)
        return model
