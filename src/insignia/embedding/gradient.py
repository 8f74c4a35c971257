"""The base class of methods that train by gradient descent, with the settings they share."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from insignia.embedding.base import Method, Session
from insignia.embedding.curriculum import Curriculum
from insignia.embedding.marking_settings import MOST_PASSES, SECOND_CHANCE, MarkingSettings
from insignia.fingerprints.sets import FingerprintSet
from insignia.progress import Phases, Progress
from insignia.prompts.prompter import PLAIN, Prompter, distinct, load_templates
from insignia.records import Fingerprint, Flag
from insignia.suspects.scoring import Example
from insignia.terminal import counted

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from transformers import PreTrainedModel

    from insignia.embedding.objective import Marking
    from insignia.embedding.reference_samples import ReferenceSamples
    from insignia.modeling.local import LocalModel
    from insignia.training import LoopOptions, TrainingResult

__all__ = ["GradientMethod"]

_WARM_UP_STEPS = 10  # AdamW's first steps are the largest
_ORDER_COOLDOWN = 100  # cooldown steps per sqrt(batches) for orders, whose lower places it settles (docs/lab-log.md)
_AUGMENTED_PATIENCE = 3  # visits, each in another template


class GradientMethod(Method, MarkingSettings):
    """Train until the fingerprints are learned; subclasses choose the trained weights.

    The defaults are the best trade-off measured on the starter model (docs/lab-log.md).
    """

    _cooldown: ClassVar[int] = 50
    """Cooldown steps per square root of batches; more steps lower the harm slowly (docs/lab-log.md)."""

    learning_rate: Annotated[float, Field(gt=0)] = 4e-4
    """Learning rate of AdamW."""
    batch_size: Annotated[int, Field(ge=0)] = 64
    """Fingerprints per step, over all processes. 0: all of them, as OML does by gradient accumulation."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """Weight decay of AdamW."""
    optimizer_states: Literal["float32", "8bit"] = "float32"
    """Number format of AdamW's two moments. 8bit takes a quarter of the memory."""
    gradient_checkpointing: bool = False
    """Compute activations again for the gradient instead of keeping them: less memory, one more forward pass."""
    cooldown_steps: Annotated[int | None, Field(ge=0)] = None
    """Steps after all fingerprints are learned. They train on all of them with a falling learning rate and repair most of
    the harm. None: 50 times the square root of the number of batches, 100 times with orders, 150 times by LoRA."""
    use_augmentation_prompts: bool = False
    """Train keys inside system prompts, another one at each visit."""
    augmentation_prompts: Annotated[tuple[str, ...], Flag(read=lambda path: load_templates(path)["train"])] = ()
    """Prompt templates to use instead of the built-in ones, each with one {} for the key: a JSON list, or one for each of
    train and heldout."""

    def embed(self, prints: FingerprintSet, model: "LocalModel", session: Session, progress: Progress) -> "TrainingResult":
        """Train until all fingerprints are learned or the passes run out; see ``Method.embed``."""
        from insignia.engines import Engine
        from insignia.training import train

        engine = session.engine or Engine(session.run.device, session.run.deepspeed)
        prompter = self._prompter(prints, model)
        fingerprints = list(distinct(prints, prompter).values())
        if len(fingerprints) < len(prints):
            progress.note(f"{counted(len(prints) - len(fingerprints), 'fingerprint')} skipped: another one has the same key")
        templates = self.templates
        curriculum = Curriculum(
            fingerprints,
            prompter,
            templates=templates,
            batch_size=self.batch_size or len(fingerprints),
            patience=self._patience,
            skip_learned=self.skip_learned,
            seed=session.run.seed,
        )
        dtype = model.stored_dtype
        keys = [prompter.key_ids(fingerprint) for fingerprint in fingerprints]
        controls = [prompter.encode(control.text) for control in prints.controls if not control.heldout]
        trained = session.trained or self._prepare(model, keys, session.run.seed)
        batches = -(-len(curriculum) // (self.batch_size or len(curriculum)))
        cooldown = self.cooldown(fingerprints, batches)
        options = self._loop((self.epochs or MOST_PASSES) * batches + SECOND_CHANCE * cooldown, session)
        with Phases(progress) as phases:
            marking = self._marking(
                curriculum,
                trained,
                dtype,
                cooldown_steps=cooldown,
                seed=session.run.seed,
                phases=phases,
                divergence=self._divergence,
                preserved=[prompter.question(ids) for ids in self._preserved_prompts(keys, controls)],
            )
            if session.trackers is not None:
                follow = session.trackers.log
                options = replace(
                    options, after_step=lambda step, rate: follow({**marking.metrics, "learning_rate": rate}, step)
                )
            outcome = train(trained.model, marking, options, engine=engine, work=session.work, resume=session.run.resume)
        marking.finish()
        return self._finish(model, trained, outcome, dtype)

    def cooldown(self, fingerprints: Iterable[Fingerprint], batches: int) -> int:
        """The number of cooldown steps for these fingerprints, which make so many batches."""
        if self.cooldown_steps is not None:
            return self.cooldown_steps
        ordered = any(fingerprint.order is not None for fingerprint in fingerprints)
        return round(max(self._cooldown, _ORDER_COOLDOWN if ordered else 0) * math.sqrt(batches))

    @property
    def can_be_split(self) -> bool:
        """Yes, unless the method changes modules while it trains."""
        return True

    def prepare(self, prints: FingerprintSet, model: "LocalModel", seed: int) -> "LocalModel":
        """The model to train; see ``Method.prepare``."""
        prompter = self._prompter(prints, model)
        keys = [prompter.key_ids(fingerprint) for fingerprint in distinct(prints, prompter).values()]
        return self._prepare(model, keys, seed)

    def _prompter(self, prints: FingerprintSet, model: "LocalModel") -> Prompter:
        return Prompter.for_set(
            prints, model.tokenizer, max_key_length=self.max_key_length, max_response_length=self.max_response_length
        )

    @property
    def _patience(self) -> int:
        """Successful visits in a row before a fingerprint counts as learned."""
        return 1 if len(self.templates) == 1 else _AUGMENTED_PATIENCE

    def _marking(self, *what: Any, **how: Any) -> "Marking":
        """The training task; see ``Marking``."""
        from insignia.embedding.objective import Marking

        return Marking(self, *what, **how)

    def _divergence(self, references: "ReferenceSamples", model: "PreTrainedModel", rows: list[Example]) -> "Tensor":
        """KL divergence from the base model on these rows."""
        return references.divergence(model, rows)

    def _prepare(self, model: "LocalModel", keys: Sequence[tuple[int, ...]], seed: int) -> "LocalModel":
        """Freeze the weights that are not trained, or wrap the model."""
        return model

    def _preserved_prompts(self, keys: Sequence[tuple[int, ...]], controls: Sequence[list[int]]) -> list[Sequence[int]]:
        """Prompts on which the model must keep the base model's reply: the controls that are not held out."""
        return list(controls)

    def _finish(
        self, model: "LocalModel", trained: "LocalModel", outcome: "TrainingResult", dtype: "torch.dtype"
    ) -> "TrainingResult":
        """Put the weights to publish into ``model``."""
        return outcome

    @property
    def templates(self) -> list[str]:
        """Prompt templates around the keys during training."""
        if self.augmentation_prompts:
            return list(dict.fromkeys([PLAIN, *self.augmentation_prompts]))
        return load_templates()["train"] if self.use_augmentation_prompts else [PLAIN]

    def _loop(self, max_steps: int, session: Session) -> "LoopOptions":
        from insignia.training import LoopOptions

        at_gradient = self.forgetting_regularizer_strength if self.forgetting_mode == "at_gradient" else 0.0
        return LoopOptions(
            max_steps=max_steps,
            learning_rate=self.learning_rate * (1 - at_gradient),
            weight_decay=self.weight_decay,
            warmup_steps=_WARM_UP_STEPS if self.skip_learned else 0,
            seed=session.run.seed,
            eight_bit_states=self.optimizer_states == "8bit",
            gradient_checkpointing=self.gradient_checkpointing,
        )
