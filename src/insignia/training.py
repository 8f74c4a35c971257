"""The training loop for embedding and fine-tuning: Hugging Face Trainer around a task.

The task supplies batches and their loss; the loop handles devices, engines and checkpoints. The result does not depend on the
number of processes: each takes its share of the same global batch.
"""

import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset
from transformers import PreTrainedModel, PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from insignia.engines import Engine
from insignia.errors import ModelError
from insignia.files import read_json
from insignia.modeling.bars import without_bars
from insignia.modeling.lean_adamw import LeanAdamW
from insignia.resuming import STATE_FILE, Checkpoints, newest_checkpoint

__all__ = ["LoopOptions", "Task", "TrainingResult", "train"]

_T = TypeVar("_T")


class Task(Protocol):
    """What the loop trains: batches, loss and learning rate schedule."""

    def batches(self) -> Iterator[Any]:
        """Yield this process's share of each global batch, endlessly; each is drawn just before its step."""
        ...

    def loss(self, model: PreTrainedModel, batch: Any) -> Tensor:
        """Loss of the share, scaled so that the mean over processes is the loss of the global batch."""
        ...

    def rate(self, step: int) -> float:
        """Learning rate factor at this step, without warm-up."""
        ...

    def after_step(self, step: int) -> bool:
        """Called after each optimizer step on every process. True ends the training."""
        ...

    @property
    def phase(self) -> str:
        """Name of what the task does now; a checkpoint is written when it changes."""
        ...

    def state(self) -> Mapping[str, Any]:
        """How far the task is, as JSON, without secrets; it is stored with each checkpoint."""
        ...

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a stored state."""
        ...


@dataclasses.dataclass(frozen=True)
class LoopOptions:
    """Settings of the loop."""

    max_steps: int
    learning_rate: float
    weight_decay: float = 0.0
    warmup_steps: int = 0
    max_grad_norm: float = 1.0
    accumulation: int = 1
    """Batches per step; the loss of the step is their mean."""
    seed: int = 0
    save_every_s: float = 30.0
    """Seconds between checkpoints, or twenty times the seconds that writing one takes, if that is longer."""
    eight_bit_states: bool = False
    """Whether the optimizer keeps its moments in eight bits."""
    master: bool = False
    """Whether bfloat16 weights have float32 masters; without, they are rounded stochastically."""
    gradient_checkpointing: bool = False
    """Whether activations are computed again for the gradient."""
    after_step: Callable[[int, float], None] | None = None
    """Called after each step with its number and learning rate."""


@dataclasses.dataclass(frozen=True)
class TrainingResult:
    """Result of a training run."""

    steps: int
    seconds: float
    owner_weights: Mapping[str, Tensor] = dataclasses.field(default_factory=dict)
    """Trained weights that are not published, by name."""
    blocks: int | None = None
    """Number of blocks that the rank of the owner weights is divided into, if it is."""


@without_bars()
def train(
    model: PreTrainedModel, task: Task, options: LoopOptions, *, engine: Engine, work: Path, resume: bool = False
) -> TrainingResult:
    """Train the model in place until the task is done or the steps run out.

    ``work`` is the folder for checkpoints, which hold weights and optimizer state, never fingerprints. ``resume``
    continues from the newest checkpoint there, if there is one.

    Raises:
        ModelError: the loss became NaN or infinite.
    """
    with engine.training():
        return _train(model, task, options, engine, work, resume=resume)


def _train(
    model: PreTrainedModel, task: Task, options: LoopOptions, engine: Engine, work: Path, *, resume: bool
) -> TrainingResult:
    if options.gradient_checkpointing:  # the first is the name from transformers 5.23 on
        any_model: Any = model
        enable = getattr(any_model, "activation_checkpointing_enable", None) or any_model.gradient_checkpointing_enable
        enable({"use_reentrant": False})
    checkpoints = Checkpoints(task, options.save_every_s)
    trainer = _TaskTrainer(
        engine,
        model=engine.inner(model),
        args=_arguments(options, engine, work),
        train_dataset=_Batches(task),
        callbacks=[_AfterStep(task, options.after_step), checkpoints],
    )
    trainer.task = task
    trainer.options = options
    checkpoint = newest_checkpoint(work) if resume else None
    if checkpoint is not None:
        task.restore(read_json(checkpoint / STATE_FILE))
    started = time.perf_counter()
    trainer.remove_callback(PrinterCallback)  # it prints a summary to stdout
    with checkpoints.stopping():
        trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    return TrainingResult(steps=trainer.state.global_step, seconds=time.perf_counter() - started)


def _arguments(options: LoopOptions, engine: Engine, work: Path) -> TrainingArguments:
    return TrainingArguments(
        output_dir=str(work),
        max_steps=options.max_steps,
        learning_rate=options.learning_rate,
        weight_decay=options.weight_decay,
        max_grad_norm=options.max_grad_norm,
        gradient_accumulation_steps=options.accumulation,
        optim="adamw_torch",
        seed=options.seed,
        save_strategy="no",  # Checkpoints decides
        save_total_limit=2,  # the newest may be cut short by a kill
        logging_strategy="no",
        report_to="none",  # metrics of a secret run stay on the machine
        disable_tqdm=True,
        remove_unused_columns=False,
        ignore_data_skip=True,  # the next batch depends on the model: nothing to skip
        ddp_find_unused_parameters=False,
        use_cpu=engine.state.device.type == "cpu",
        deepspeed=engine.deepspeed,
    )


class _TaskTrainer(Trainer):
    """Trainer with the batches, loss and learning rate of a task."""

    task: Task
    options: LoopOptions

    def __init__(self, engine: Engine, **what: Any) -> None:
        self._engine = engine  # asked while Trainer is built
        super().__init__(**what)

    def create_accelerator_and_postprocess(self) -> None:
        super().create_accelerator_and_postprocess()
        self._engine.adopt(self.accelerator)
        self.is_fsdp_enabled = getattr(self.accelerator.state, "fsdp_plugin", None) is not None

    def get_train_dataloader(self) -> DataLoader[Any]:
        # accelerate would draw one batch ahead and give all processes the same one.
        # A generator of its own: torch would draw a seed from the global one, and a resumed run would have another dropout.
        own = torch.Generator()
        return DataLoader(_Batches(self.task), batch_size=None, collate_fn=_as_it_is, generator=own)  # torch's makes tuples

    def _prepare_inputs(self, inputs: Any) -> Any:
        return inputs  # the task moves its batches to the device

    def compute_loss(self, model: Any, inputs: Any, *_: Any, **__: Any) -> Any:
        loss = self.task.loss(model, inputs["batch"])
        if not torch.isfinite(loss):
            raise ModelError("the training loss is NaN or infinite; lower the learning rate")
        return loss

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        whole = cast(torch.nn.Module, self.model)
        trained = {name: weight for name, weight in whole.named_parameters() if weight.requires_grad}
        if self.optimizer is None and (
            self.options.eight_bit_states or any(weight.dtype == torch.bfloat16 for weight in trained.values())
        ):
            decaying = set(self.get_decay_parameter_names(whole))
            self.optimizer = LeanAdamW(
                [
                    {
                        "params": [weight for name, weight in trained.items() if (name in decaying) == decays],
                        "weight_decay": self.options.weight_decay if decays else 0.0,
                    }
                    for decays in (True, False)
                ],
                lr=self.options.learning_rate,
                eight_bits=self.options.eight_bit_states,
                master=self.options.master,
                seed=self.options.seed,
            )
            return self.optimizer
        return super().create_optimizer(model)

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        def factor(step: int) -> float:
            return self.task.rate(step) * min(1.0, (step + 1) / max(1, self.options.warmup_steps))

        if self.lr_scheduler is None:
            self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(
                cast(torch.optim.Optimizer, optimizer or self.optimizer), factor
            )
        return self.lr_scheduler

    def _issue_warnings_after_load(self, load_result: Any) -> None:
        """Warn of weights that a checkpoint lacks, but not of tied ones: it has them under another name."""
        named = list(cast(torch.nn.Module, self.model).named_parameters(remove_duplicate=False))
        missing = set(load_result.missing_keys)
        loaded = {id(weight) for name, weight in named if name not in missing}
        tied = {name for name, weight in named if id(weight) in loaded}
        super()._issue_warnings_after_load(load_result._replace(missing_keys=sorted(missing - tied)))

    def floating_point_ops(self, inputs: Any) -> int:
        return 0  # unused; the estimate warns about batches that are not tensors


def _as_it_is(batch: _T) -> _T:
    return batch


class _Batches(IterableDataset[Any]):
    def __init__(self, task: Task) -> None:
        self._task = task

    def __iter__(self) -> Iterator[Any]:
        for batch in self._task.batches():
            yield {"batch": batch}


class _AfterStep(TrainerCallback):
    def __init__(self, task: Task, report: Callable[[int, float], None] | None) -> None:
        self._task, self._report = task, report

    def on_step_end(self, args: Any, state: Any, control: Any, **of: Any) -> None:
        if self._task.after_step(state.global_step):
            control.should_training_stop = True
        if self._report is not None:
            self._report(state.global_step, float(of["lr_scheduler"].get_last_lr()[0]))
