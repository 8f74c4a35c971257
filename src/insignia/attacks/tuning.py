"""The task of fine-tuning: shuffled epochs of rows, and a loss summed over them."""

import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Generic, NamedTuple, Protocol, TypeVar

from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel

from insignia.attacks.finetune_settings import FineTuneSettings
from insignia.modeling.batches import response_logits
from insignia.modeling.process_group import process_rank
from insignia.suspects.scoring import Example

if TYPE_CHECKING:
    from insignia.progress import Advance

__all__ = ["CROSS_ENTROPY", "Objective", "TrainingRow", "Tuning", "predicted"]

_SORTED_BATCHES = 16  # batches sorted by length together: little padding, and the order stays random


class _Row(Protocol):
    """What is trained on at once: an example, or some that belong together."""

    @property
    def ids(self) -> tuple[int, ...]:
        """All its tokens."""
        ...


TrainingRow = TypeVar("TrainingRow", bound=_Row)


class Objective(NamedTuple, Generic[TrainingRow]):
    """What is minimised: the mean of a loss over what it counts."""

    loss: Callable[[PreTrainedModel, Sequence[TrainingRow]], Tensor]
    """The sum over some rows, a scalar."""
    count: Callable[[Sequence[TrainingRow]], int]
    """The number of terms of that sum."""


def predicted(rows: Sequence[Example]) -> int:
    """Number of tokens that are predicted."""
    return sum(len(row.ids) - row.response_start for row in rows)


def _cross_entropy(model: PreTrainedModel, rows: Sequence[Example]) -> Tensor:
    logits, targets = response_logits(model, rows)
    return cross_entropy(logits, targets, reduction="sum")


CROSS_ENTROPY: Objective[Example] = Objective(_cross_entropy, predicted)
"""Over the predicted tokens."""


class Tuning(Generic[TrainingRow]):
    """Implements ``insignia.training.Task``: shuffled epochs, in batches of rows of similar length."""

    def __init__(
        self,
        rows: Sequence[TrainingRow],
        settings: FineTuneSettings,
        objective: Objective[TrainingRow],
        *,
        most_rows: int,
        seed: int,
    ) -> None:
        self._rows = rows
        self._settings = settings
        self._objective = objective
        self._rng = random.Random(seed)
        steps_an_epoch = -(-len(rows) // settings.batch_size)
        self.parts = -(-settings.batch_size // (most_rows * process_rank()[1]))
        """Forward passes per step; each takes at most ``most_rows`` rows per process."""
        self.steps = settings.max_steps or max(1, round(settings.epochs * steps_an_epoch))
        self.advance: Advance | None = None

    def batches(self) -> Iterator[tuple[list[TrainingRow], float]]:
        """Yield (rows, loss factor) for each forward pass of this process; all terms of a step have the same weight."""
        rank, processes = process_rank()
        ways = processes * self.parts
        while True:
            for batch in self._epoch():
                for part in range(self.parts):
                    rows = batch[part * processes + rank :: ways]
                    # All processes must run the same passes: one without rows takes one with weight 0.
                    yield (rows, ways / self._objective.count(batch)) if rows else (batch[:1], 0.0)

    def loss(self, model: PreTrainedModel, batch: tuple[list[TrainingRow], float]) -> Tensor:
        """The objective, a scalar."""
        rows, weight = batch
        return self._objective.loss(model, rows) * weight

    def rate(self, step: int) -> float:
        """Learning rate factor: a cosine from 1 to 0."""
        return 0.5 * (1 + math.cos(math.pi * min(1.0, step / self.steps)))

    def after_step(self, step: int) -> bool:
        """Report progress; False: training never stops early."""
        if self.advance is not None:
            self.advance()
        return False

    @property
    def phase(self) -> str:
        """There is one."""
        return "training"

    def state(self) -> dict[str, int]:
        """Nothing: an attack is not resumed."""
        return {}

    def restore(self, state: Mapping[str, int]) -> None:
        """Nothing."""

    def _epoch(self) -> Iterator[list[TrainingRow]]:
        order = list(self._rows)
        self._rng.shuffle(order)
        size = self._settings.batch_size
        for first in range(0, len(order), size * _SORTED_BATCHES):
            group = sorted(order[first : first + size * _SORTED_BATCHES], key=lambda row: len(row.ids))
            batches = [group[start : start + size] for start in range(0, len(group), size)]
            self._rng.shuffle(batches)
            yield from batches
