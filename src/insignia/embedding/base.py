"""What an embedding method is."""

from abc import abstractmethod
from pathlib import Path
from typing import NamedTuple

from insignia.fingerprints.sets import FingerprintSet
from insignia.modeling.local import LocalModel
from insignia.progress import Progress
from insignia.prompts.prompter import PLAIN
from insignia.records import Part, Record
from insignia.registry import Registry
from insignia.training import TrainingResult

__all__ = ["METHODS", "Method", "RunOptions", "Session"]


class RunOptions(Record):
    """How a run takes place."""

    seed: int = 0
    """Of the training order; the fingerprints have their own secret."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1, ..."""
    deepspeed: Path | None = None
    """A DeepSpeed configuration (ZeRO 0 to 2)."""
    resume: bool = False
    """Continue a run that was killed, from its checkpoints beside the output."""


class Session(NamedTuple):
    """Where and how one run of a method takes place."""

    work: Path
    """Private folder for checkpoints."""
    run: RunOptions = RunOptions()


class Method(Part):
    """How fingerprints get into a model. A method is its configuration; subclasses set ``name``."""

    max_key_length: int | None = None
    """Tokens of each key to train; None: as the set says."""
    max_response_length: int | None = None
    """Tokens of each response to train; None: as the set says."""

    @abstractmethod
    def embed(self, prints: FingerprintSet, model: LocalModel, session: Session, progress: Progress) -> TrainingResult:
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

    def answering(self, published: LocalModel, outcome: TrainingResult) -> LocalModel:
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
