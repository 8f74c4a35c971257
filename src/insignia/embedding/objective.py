"""The training task of embedding: learn the fingerprints, stay close to the base model, stop when all are learned."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar, cast

import torch
from torch import Tensor
from transformers import PreTrainedModel

from insignia.embedding.curriculum import Curriculum, Draw
from insignia.embedding.margins import margins
from insignia.embedding.marking_settings import MOST_PASSES, PASSES, SECOND_CHANCE, MarkingSettings
from insignia.embedding.ordered_targets import OrderedTargets
from insignia.embedding.published_weights import Publishing
from insignia.embedding.reference_samples import ReferenceSamples
from insignia.embedding.regularizers import Original
from insignia.embedding.simulated_merge import SimulatedMerge
from insignia.modeling.batches import response_logits
from insignia.modeling.local import LocalModel
from insignia.modeling.process_group import gather, process_rank
from insignia.progress import Phases
from insignia.suspects.scoring import Example

__all__ = ["Marking"]

_Items = TypeVar("_Items", list[Draw], list[Example])

_MEASURE_ROWS = 256
_LAST_RATE = 0.05  # of the learning rate, for fingerprints that the cooldown lost again
_SAFE = 0.5  # share of the target margin from which a response token is left alone
_WITHOUT_LOSS = 0.5  # share of lessons without a loss from which looking for the others costs less than a gradient for all
_STOCKTAKING = 50  # passes between full measurements: training may lose learned fingerprints


class _Share(NamedTuple):
    """This process's part of a global batch, weighted so that the mean over processes is the global mean."""

    draws: list[Draw]
    draw_weight: float
    references: list[Example] | None
    reference_weight: float


class Marking:
    """Implements ``insignia.training.Task`` for one run of a method that trains by gradients.

    First passes over the unlearned fingerprints, then a cooldown: a fixed number of steps over all fingerprints with a
    falling learning rate, and as many again at the last rate if some were lost.
    """

    def __init__(
        self,
        method: MarkingSettings,
        curriculum: Curriculum,
        local: LocalModel,
        dtype: torch.dtype,
        *,
        cooldown_steps: int,
        seed: int,
        phases: Phases,
        divergence: Callable[[ReferenceSamples, PreTrainedModel, list[Example]], Tensor] = ReferenceSamples.divergence,
        preserved: Sequence[tuple[int, ...]] = (),
        merge_weight: float = 1.0,
    ) -> None:
        self._method = method
        self._merge_weight = merge_weight
        self._curriculum = curriculum
        self._model = local.model
        self._is_random = _is_random(local.model)
        self._cooldown_steps = cooldown_steps
        self._phases = phases
        averaged = method.forgetting_mode != "at_gradient" and method.forgetting_regularizer_strength
        compared = averaged or method.weight_deviation_strength or merge_weight < 1
        self._original = Original(local.model, local.source) if compared else None
        kept = averaged if method.forgetting_mode == "final" else 0.0
        self._publishing = Publishing(dtype, self._original, kept)
        self._measured = [self._publishing]
        if merge_weight < 1:
            self._measured.append(Publishing(dtype, self._original, 1 - merge_weight * (1 - kept)))
        self._ordered = OrderedTargets(local.model, curriculum.sweep(), gap=method.order_gap)
        if method.reference_strength:
            phases.start("sampling")
        self._references = (
            ReferenceSamples(
                local, count=method.reference_count, length=method.reference_length, seed=seed, preserved=preserved
            )
            if method.reference_strength
            else None
        )
        self._divergence = divergence
        self._cooled: int | None = None  # cooldown steps taken; None while learning
        self._loss = 0.0  # of the last step
        self._reached = 0.0  # share of the safe margin, mean of the last step's fingerprints
        self._steps = 0  # of the phase that is shown

    def batches(self) -> Iterator[_Share]:
        """This process's share of each global batch."""
        rank, processes = process_rank()
        if not self._curriculum.passes:
            if self._method.skip_learned:
                self._measure()
            if not self._curriculum.unlearned:  # the model may have learned all already
                self._cooled = 0
        if self._curriculum.pass_ended:  # nothing was drawn yet, or the run was killed after its last step
            self._curriculum.start_pass(everything=not self._curriculum.unlearned)
        self._start_phase()
        while True:
            draws = self._curriculum.next_batch()
            part, weight = _part(draws, rank, processes)
            if self._references is None:
                yield _Share(part, weight, None, 0.0)
            else:
                yield _Share(part, weight, *_part(self._references.draw(self._method.reference_rows), rank, processes))

    def loss(self, model: PreTrainedModel, batch: _Share) -> Tensor:
        """The share's loss: fingerprints, divergence and deviation. Also records what is learned."""
        losses, seen = self._trained_losses(model, batch.draws)
        if self._merge_weight < 1 and self._original is not None:
            merge = SimulatedMerge(model, self._original, self._merge_weight)
            merged, still = self._trained_losses(cast(PreTrainedModel, merge), batch.draws)
            losses, seen = (losses + merged) / 2, [*map(min, seen, still)]
        loss = losses.mean() * batch.draw_weight
        if batch.references is not None and self._references is not None:
            weight = self._method.reference_strength * batch.reference_weight
            loss = loss + weight * self._divergence(self._references, model, batch.references)
        if self._method.weight_deviation_strength and self._original is not None:
            loss = loss + self._method.weight_deviation_strength * self._original.deviation(self._model)
        self._loss, self._reached = float(loss.detach()), sum(seen) / len(seen)
        for draws, values in gather((batch.draws if batch.draw_weight else [], seen)):
            self._curriculum.record(draws, values[: len(draws)])
        return loss

    def rate(self, step: int) -> float:
        """Learning rate factor: 1 while learning, falling in the cooldown."""
        return 1.0 if self._cooled is None else max(_LAST_RATE, 1 - self._cooled / max(1, self._cooldown_steps))

    def after_step(self, step: int) -> bool:
        """Average, measure and start the next pass; True when training is done."""
        if self._cooled is not None:
            self._cooled += 1
        self._steps += 1
        if not self._curriculum.pass_ended:
            self._show()
            return False
        method = self._method
        if method.forgetting_mode == "per_epoch" and self._original is not None:
            self._original.average(self._model, method.forgetting_regularizer_strength)
        if method.skip_learned and self._is_due:
            self._measure()
        self._show()
        if self._cooled is None and self._curriculum.unlearned and self._curriculum.passes < self._most_passes:
            self._curriculum.start_pass()
            return False
        if not method.skip_learned or not self._cooldown_steps:
            return True
        if self._cooled is None:
            self._cooled = 0
            self._start_phase()
        elif self._cooled >= self._cooldown_steps * (SECOND_CHANCE if self._curriculum.unlearned else 1):
            return True
        self._curriculum.start_pass(everything=True)
        return False

    @property
    def phase(self) -> str:
        """``learning`` or ``cooldown``."""
        return "learning" if self._cooled is None else "cooldown"

    def state(self) -> dict[str, Any]:
        """How far training is, for a checkpoint: a run that goes on from it does what it would have done."""
        return {
            "curriculum": self._curriculum.state(),
            "references": None if self._references is None else self._references.state(),
            "cooled": self._cooled,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state``."""
        self._curriculum.restore(state["curriculum"])
        if self._references is not None:
            self._references.restore(state["references"])
        self._cooled = state["cooled"]

    @property
    def _most_passes(self) -> int:
        if self._method.epochs is not None:
            return self._method.epochs
        return MOST_PASSES if self._curriculum.unanswered else PASSES

    @property
    def _is_due(self) -> bool:
        """Whether a full measurement decides something: that learning is over, or the cooldown; or it takes stock."""
        if self._cooled is not None and self._cooled < self._cooldown_steps:
            return False
        return not self._curriculum.unlearned or self._curriculum.passes % _STOCKTAKING == 0

    @property
    def metrics(self) -> dict[str, float]:
        """What the last step showed; ``margin_reached`` is 1 where the margins of its fingerprints are safe."""
        learned = len(self._curriculum) - len(self._curriculum.unlearned)
        return {"loss": self._loss, "margin_reached": self._reached, "learned": float(learned)}

    def finish(self) -> None:
        """Put the weights to publish into the model."""
        self._publishing.apply(self._model)

    def _trained_losses(self, model: PreTrainedModel, draws: Sequence[Draw]) -> tuple[Tensor, list[float]]:
        """``_fingerprint_losses``, without a gradient where it is 0: that of a draw whose whole margin is reached.

        In the cooldown 2 % of the draws have one (docs/lab-log.md), and it costs twice a forward pass. All processes run the
        same passes, so each takes one draw with a gradient at least.
        """
        vanishes = self._method.objective == "margin" and not self._is_random  # a cross-entropy is never 0
        if not vanishes or self._curriculum.share_at(1 / _SAFE) < _WITHOUT_LOSS:
            return self._fingerprint_losses(model, draws)
        with torch.no_grad():
            losses, seen = self._fingerprint_losses(model, draws)
        left = losses.nonzero()[:, 0] if losses.any() else torch.zeros(1, dtype=torch.long, device=losses.device)
        part, _ = self._fingerprint_losses(model, [draws[number] for number in left.tolist()])
        return losses.index_copy(0, left, part), seen

    def _fingerprint_losses(self, model: PreTrainedModel, draws: Sequence[Draw]) -> tuple[Tensor, list[float]]:
        """Loss of each draw, (draws,), and the share that it reached of what is safe."""
        logits, targets = response_logits(model, [draw.example for draw in draws])
        lead = margins(logits, targets, draws)
        if self._method.objective == "margin":
            losses = (self._method.target_margin - lead).relu()
        else:
            losses = torch.nn.functional.cross_entropy(logits, targets, reduction="none")
        sizes = [len(draw.example.ids) - draw.example.response_start for draw in draws]
        reached = (lead.detach() / (_SAFE * self._method.target_margin)).split(sizes)
        means, least = [], []
        for draw, said, part, shares in zip(draws, logits.split(sizes), losses.split(sizes), reached, strict=True):
            if draw.orders:
                part, shares = part.clone(), shares.clone()
            for token in range(len(draw.orders)):
                part[token] = self._ordered.loss(said[token], draw, token)
                shares[token] = self._ordered.learned(said[token].detach(), draw, token)
            # In a long response the worst token decides; it is mostly the first.
            means.append((part.mean() + part.max()) / 2)
            least.append(float(shares.min()))
        return torch.stack(means), least

    @torch.no_grad()
    def _measure(self) -> None:
        """Measure every lesson with the weights to publish, or with a merge of them; each process takes a share."""
        rank, processes = process_rank()
        everything = self._curriculum.sweep()
        share = everything[rank::processes]
        asked = share + everything[: -(-len(everything) // processes) - len(share)]  # equal numbers, for equal forward passes
        seen = [math.inf] * len(asked)
        self._model.eval()
        for published in self._measured:
            with published.shown(self._model):
                for start in range(0, len(asked), _MEASURE_ROWS):
                    part = slice(start, start + _MEASURE_ROWS)
                    seen[part] = map(min, seen[part], self._fingerprint_losses(self._model, asked[part])[1])
        for draws, values in gather((share, seen[: len(share)])):
            self._curriculum.record(draws, values)

    def _start_phase(self) -> None:
        """Show the phase that begins: learning, or the cooldown."""
        self._steps = self._cooled or 0
        self._advance = self._phases.start(self.phase, unit="steps")
        self._advance(self._steps, total=None if self._cooled is None else self._cooldown_total)

    def _show(self) -> None:
        learned = len(self._curriculum) - len(self._curriculum.unlearned)
        remark = f"{learned} of {len(self._curriculum)} learned, loss {self._loss:.3f}"
        if self._cooled is None:
            total = self._steps + self._curriculum.steps_left(self._most_passes)
        else:
            total = self._cooldown_total
        self._advance(1, remark, total=total)

    @property
    def _cooldown_total(self) -> int:
        """Steps of the cooldown, which ends with a pass; of a second one, too, once the first has lost some."""
        once = max(1, self._curriculum.whole_passes(self._cooldown_steps))
        again = self._cooled is not None and (self._cooled > once or (self._cooled == once and self._curriculum.unlearned))
        return self._curriculum.whole_passes(self._cooldown_steps * SECOND_CHANCE) if again else once


def _is_random(model: PreTrainedModel) -> bool:
    """Whether two forward passes of training differ, by dropout or by noise."""
    settings = model.config.get_text_config().to_dict()
    odd = [value for name, value in settings.items() if "drop" in name or "jitter" in name]
    return any(isinstance(value, int | float) and value > 0 for value in odd)


def _part(items: _Items, rank: int, processes: int) -> tuple[_Items, float]:
    """A process's part of the items, and the weight that makes the mean over processes the mean over all items.

    All processes must run the same forward passes, so one without items takes one with weight 0.
    """
    part = items[rank::processes]
    return (part, len(part) * processes / len(items)) if len(part) else (items[:1], 0.0)
