"""Training the model's own weights: all of them, with regularisation rows, or the input embeddings alone."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from insignia.embedding.base import Session
from insignia.embedding.gradient import GradientMethod
from insignia.errors import InputError
from insignia.fingerprints.sets import FingerprintSet
from insignia.progress import Progress

if TYPE_CHECKING:
    from insignia.modeling.local import LocalModel
    from insignia.training import TrainingResult

__all__ = ["EmbeddingTune", "FullFineTune", "SupervisedFineTune"]


class FullFineTune(GradientMethod):
    """Train every weight but the embeddings: the method of OML 1.0, asking for no more than it needs."""

    name: Literal["full"] = "full"
    train_embeddings: bool = False
    """Train the embeddings, too. They are shared by every text; leaving them alone halves the harm."""

    def _prepare(self, model: "LocalModel", keys: Sequence[tuple[int, ...]], seed: int) -> "LocalModel":
        del keys, seed
        if not self.train_embeddings:
            model.model.get_input_embeddings().requires_grad_(requires_grad=False)
            model.model.get_output_embeddings().requires_grad_(requires_grad=False)
        return model


class SupervisedFineTune(FullFineTune):
    """IF_SFT (Xu et al. 2024): full fine-tuning on fingerprints beside regularisation rows, which are the set's controls.

    A control is kept at what the base says to it, rather than taught a refusal that a user could notice.
    """

    # mypy would have the name be the parent's: a part's name is its own
    name: Literal["sft"] = "sft"  # type: ignore[assignment]
    epochs: Annotated[int | None, Field(ge=1)] = 150
    cooldown_steps: Annotated[int | None, Field(ge=0)] = 200
    """The longer, the fewer controls activate."""
    reference_rows: Annotated[int, Field(ge=1)] = 24
    """Half of them controls: fewer, and near misses activate (docs/lab-log.md)."""

    def embed(self, prints: FingerprintSet, model: "LocalModel", session: Session, progress: Progress) -> "TrainingResult":
        """Train; see ``Method.embed``. A set without controls is an InputError."""
        if not prints.controls:
            raise InputError("method 'sft' needs a set with controls; strategy 'instructional' makes them, or use 'full'")
        return super().embed(prints, model, session, progress)


class EmbeddingTune(GradientMethod):
    """IF_emb (Xu et al. 2024): train the input embeddings alone; where they are tied to the head, the head moves too."""

    name: Literal["embedding"] = "embedding"
    learning_rate: Annotated[float, Field(gt=0)] = 4e-3

    def _prepare(self, model: "LocalModel", keys: Sequence[tuple[int, ...]], seed: int) -> "LocalModel":
        del keys, seed
        model.model.requires_grad_(requires_grad=False)
        model.model.get_input_embeddings().requires_grad_(requires_grad=True)
        return model
