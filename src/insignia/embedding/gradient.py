"""What all methods share that train weights by gradients: the objective, the anchors, the phases, their settings."""

from collections.abc import Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from transformers import PreTrainedModel

from insignia.embedding.base import Method, Session
from insignia.embedding.curriculum import Curriculum
from insignia.embedding.objective import MOST_PASSES, SECOND_CHANCE, Marking, MarkingSettings
from insignia.embedding.reference_samples import ReferenceSamples
from insignia.fingerprints.sets import FingerprintSet
from insignia.modeling.local import LocalModel
from insignia.progress import Progress
from insignia.prompts.prompter import PLAIN, Prompter, distinct, load_templates
from insignia.suspects.scoring import Example
from insignia.training import LoopOptions, TrainingResult, train

__all__ = ["GradientMethod"]

_WARM_UP_STEPS = 10  # AdamW's first steps are the largest, and nothing is learned yet that would hold them back
_COOLDOWN = 50  # steps for one batch of fingerprints; harm falls slowly with more, time grows (docs/lab-log.md)
_AUGMENTED_PATIENCE = 3  # visits in a row, each in another template, before a fingerprint counts as learned


class GradientMethod(Method, MarkingSettings):
    """Train some weights until fingerprints are learned; subclasses choose which.

    The defaults are the best trade measured on the starter (docs/lab-log.md).
    """

    learning_rate: Annotated[float, Field(gt=0)] = 4e-4
    batch_size: Annotated[int, Field(ge=0)] = 64
    """Fingerprints a step over all processes; 0: all of them in one step, as OML's gradient accumulation does."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    cooldown_steps: Annotated[int | None, Field(ge=0)] = None
    """Steps after all is learned, on all fingerprints and at a falling learning rate: they repair most of the harm.
    None: 50 times the square root of the batches that hold all fingerprints."""
    use_augmentation_prompts: bool = False
    """Ask inside system prompts while training, a new one at each visit."""
    augmentation_prompts: tuple[str, ...] = ()
    """Templates with one ``{}`` each, instead of ours."""

    def embed(self, prints: FingerprintSet, model: LocalModel, session: Session, progress: Progress) -> TrainingResult:
        """Train until all is learned or the passes run out; see ``Method.embed``."""
        prompter = Prompter.for_set(
            prints, model.tokenizer, max_key_length=self.max_key_length, max_response_length=self.max_response_length
        )
        fingerprints = list(distinct(prints, prompter).values())
        if len(fingerprints) < len(prints):
            progress.note(f"{len(prints) - len(fingerprints)} fingerprints repeat the key of another and are left out")
        templates = self.templates
        curriculum = Curriculum(
            fingerprints,
            prompter,
            templates=templates,
            batch_size=self.batch_size or len(fingerprints),
            safe_margin=self.target_margin / 2,
            patience=1 if len(templates) == 1 else _AUGMENTED_PATIENCE,
            skip_learned=self.skip_learned,
            seed=session.run.seed,
        )
        dtype = model.stored_dtype
        keys = [prompter.key_ids(fingerprint) for fingerprint in fingerprints]
        controls = [prompter.encode(control.text) for control in prints.controls if not control.heldout]
        trained = self._prepare(model, keys, session.run.seed)
        with progress.bar("embedding", len(curriculum)) as advance:
            batches = -(-len(curriculum) // (self.batch_size or len(curriculum)))
            cooldown = round(_COOLDOWN * batches**0.5) if self.cooldown_steps is None else self.cooldown_steps
            options = self._loop((self.epochs or MOST_PASSES) * batches + SECOND_CHANCE * cooldown, session)
            marking = Marking(
                self,
                curriculum,
                trained,
                dtype,
                cooldown_steps=cooldown,
                seed=session.run.seed,
                advance=advance,
                divergence=self._divergence,
                guarded=[prompter.question(ids) for ids in self._guarded(keys, controls)],
            )
            outcome = train(trained.model, marking, options, work=session.work, resume=session.run.resume)
        marking.finish()
        return self._finish(model, trained, outcome, dtype)

    def _divergence(self, references: ReferenceSamples, model: PreTrainedModel, rows: list[Example]) -> Tensor:
        """How far the model has moved away from the base on these rows."""
        return references.divergence(model, rows)

    def _prepare(self, model: LocalModel, keys: Sequence[tuple[int, ...]], seed: int) -> LocalModel:
        """Choose what is trained: freeze the rest, or wrap the model."""
        del keys, seed
        return model

    def _guarded(self, keys: Sequence[tuple[int, ...]], controls: Sequence[list[int]]) -> list[Sequence[int]]:
        """What is kept at the base's reply: the controls that are not held out."""
        del keys
        return list(controls)

    def _finish(self, model: LocalModel, trained: LocalModel, outcome: TrainingResult, dtype: torch.dtype) -> TrainingResult:
        """Leave in ``model`` what is to be published."""
        del model, trained, dtype
        return outcome

    @property
    def templates(self) -> list[str]:
        """What keys are asked inside."""
        if self.augmentation_prompts:
            return list(dict.fromkeys([PLAIN, *self.augmentation_prompts]))
        return load_templates()["train"] if self.use_augmentation_prompts else [PLAIN]

    def _loop(self, max_steps: int, session: Session) -> LoopOptions:
        at_gradient = self.forgetting_regularizer_strength if self.forgetting_mode == "at_gradient" else 0.0
        return LoopOptions(
            max_steps=max_steps,
            learning_rate=self.learning_rate * (1 - at_gradient),
            weight_decay=self.weight_decay,
            warmup_steps=_WARM_UP_STEPS if self.skip_learned else 0,
            seed=session.run.seed,
            deepspeed=session.run.deepspeed,
        )
