"""The base class and the registry of embedding methods."""

from abc import abstractmethod
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

from pydantic import ConfigDict, Field

from insignia.fingerprints.sets import FingerprintSet
from insignia.modeling.placement import Device
from insignia.progress import Progress
from insignia.prompts.prompter import PLAIN
from insignia.records import Flag, Part, Record
from insignia.registry import Registry

if TYPE_CHECKING:
    from insignia.embedding.tracking import Trackers
    from insignia.engines import Engine
    from insignia.modeling.local import LocalModel
    from insignia.training import TrainingResult

__all__ = ["METHODS", "Method", "Portion", "RunOptions", "Session"]


class RunOptions(Device):
    """How a run takes place."""

    model_config = ConfigDict(title="Training")

    seed: int = 0
    """Seed of the training order; the fingerprints have their own secret."""
    deepspeed: Path | None = None
    """DeepSpeed configuration, ZeRO stage 0 to 3; start with torchrun. 'accelerate launch' brings its own."""
    resume: bool = False
    """Continue a run that was killed, from its checkpoints beside the output."""
    report_to: Annotated[tuple[str, ...], Flag("--report-to", many=True)] = ()
    """Trackers that follow the run: tensorboard, trackio, wandb and others that accelerate knows. They get losses, margins and
    harm, never a key or a path. Some send what they get to a server."""
    tracking_dir: Annotated[Path, Flag("--tracking-dir", needs="report_to")] = Path("runs")
    """Folder for the files of trackers that write some."""


class Portion(Record):
    """What of the set is embedded, and what is kept."""

    num_fingerprints: Annotated[int | None, Field(ge=1), Flag("--max-num-fingerprints", "--num-fingerprints")] = None
    """Embed only the first so many fingerprints. None: all."""
    private: Path | None = None
    """File for the owner weights, which are not published: needed by method adapter, optional for lora."""
    heldout: Annotated[tuple[str, ...] | None, Field(repr=False)] = None
    """Text file to measure harm on. None: the text that comes with insignia."""


class Session(NamedTuple):
    """Settings of one training run that do not belong to the method."""

    work: Path
    """Folder for checkpoints, readable by the owner only."""
    run: RunOptions = RunOptions()
    trackers: "Trackers | None" = None
    """Who follows the run."""
    engine: "Engine | None" = None
    """The processes that train together. None: what the launcher says."""
    trained: "LocalModel | None" = None
    """What ``prepare`` gave, where the engine split it before."""


class Method(Part):
    """How fingerprints are embedded in a model. The fields are the method's options; subclasses set ``name``."""

    max_key_length: Annotated[int | None, Field(ge=1)] = None
    """Maximum length of a key, in tokens. None: the length stored in the fingerprint set."""
    max_response_length: Annotated[int | None, Field(ge=1)] = None
    """Maximum length of a response, in tokens. None: the length stored in the fingerprint set."""

    @abstractmethod
    def embed(self, prints: FingerprintSet, model: "LocalModel", session: Session, progress: Progress) -> "TrainingResult":
        """Train ``model`` in place until it gives the responses.

        Afterwards the model holds the weights to publish, rounded to the checkpoint's dtype. Weights that the owner keeps
        are in the result.
        """

    def require(self, prints: FingerprintSet) -> None:
        """Raise InputError if the method cannot embed such a set. Called before a model is loaded."""

    @property
    def can_be_split(self) -> bool:
        """Whether the model can be trained while each process holds a part of the weights (FSDP, ZeRO stage 3)."""
        return False

    def prepare(self, prints: FingerprintSet, model: "LocalModel", seed: int) -> "LocalModel":
        """The model to train, made of ``model`` and still answering like it: frozen in part, or with adapters."""
        return model

    @property
    def dtype(self) -> str:
        """The dtype to load ``model`` in, as ``LocalModel`` takes it. Trained weights need float32."""
        return "float32"

    @property
    def templates(self) -> list[str]:
        """Prompt templates around the keys during training."""
        return [PLAIN]

    @property
    def needs_owner_weights(self) -> bool:
        """Whether the published model answers only together with the owner weights."""
        return False

    def answering(self, published: "LocalModel", outcome: "TrainingResult") -> "LocalModel":
        """The model that gives the responses: the published one, with the owner weights if the method needs them."""
        return published

    def as_given(self, published: "LocalModel", outcome: "TrainingResult") -> AbstractContextManager[None] | None:
        """A context in which the model is what others get, if they do not get it whole; its harm is measured there."""
        return None


METHODS: Registry[Method] = Registry(
    "method",
    {
        "adapter": "insignia.embedding.embedding_adapter:AdapterTune",
        "blocks": "insignia.embedding.blocks:Blocks",
        "embedding": "insignia.embedding.full:EmbeddingTune",
        "full": "insignia.embedding.full:FullFineTune",
        "lora": "insignia.embedding.low_rank:LoRA",
        "sft": "insignia.embedding.full:SupervisedFineTune",
    },
    group="insignia.methods",
)
