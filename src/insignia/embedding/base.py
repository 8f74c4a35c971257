"""What an embedding method is."""

from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

from pydantic import Field

from insignia.fingerprints.sets import FingerprintSet
from insignia.progress import Progress
from insignia.prompts.prompter import PLAIN
from insignia.records import Part
from insignia.registry import Registry

if TYPE_CHECKING:
    from insignia.modeling.local import LocalModel
    from insignia.training import TrainingResult

__all__ = ["METHODS", "Method", "Session"]


class Session(NamedTuple):
    """Where and how one run of a method takes place; nothing in it changes what is learned."""

    work: Path
    """Private folder for checkpoints."""
    seed: int = 0
    resume: bool = False
    deepspeed: Path | None = None


class Method(Part):
    """How fingerprints get into a model. A method is its configuration; subclasses set ``name``."""

    max_key_length: Annotated[int | None, Field(ge=1)] = None
    """Tokens of a key to train. None: as the set says."""
    max_response_length: Annotated[int | None, Field(ge=1)] = None
    """Tokens of a response to train. None: as the set says."""

    @abstractmethod
    def embed(self, prints: FingerprintSet, model: "LocalModel", session: Session, progress: Progress) -> "TrainingResult":
        """Train ``model`` in place until it answers the fingerprints.

        On return the weights are those to publish, rounded to the checkpoint's dtype; what is kept back is the outcome's
        private part.
        """

    @property
    def dtype(self) -> str:
        """What ``model`` is loaded in, as ``LocalModel`` names it; weights that are trained need float32."""
        return "float32"

    @property
    def templates(self) -> list[str]:
        """What keys are asked inside while training."""
        return [PLAIN]

    @property
    def needs_owner_weights(self) -> bool:
        """Whether the mark cannot be asked without the private part of the outcome."""
        return False

    def answering(self, published: "LocalModel", outcome: "TrainingResult") -> "LocalModel":
        """The model that answers the fingerprints: the published one, together with a private part where one is needed."""
        del outcome
        return published


METHODS: Registry[Method] = Registry(
    "method",
    {
        "adapter": "insignia.embedding.embedding_adapter:AdapterTune",
        "embedding": "insignia.embedding.full:EmbeddingTune",
        "full": "insignia.embedding.full:FullFineTune",
        "lora": "insignia.embedding.low_rank:LoRA",
        "sft": "insignia.embedding.full:SupervisedFineTune",
    },
    group="insignia.methods",
)
