"""Which fingerprints still need work, and the batches that teach them.

Training goes in passes. A pass holds the lessons that are not yet safely learned, shuffled, in global batches that every
process cuts its share from; the margins seen while training decide about the next pass, so measuring costs nothing until
there seems nothing left to learn.
"""

import random
from collections.abc import Sequence
from typing import NamedTuple

from insignia.prompts.prompter import PLAIN, Prompter
from insignia.records import Fingerprint
from insignia.suspects.scoring import Example

__all__ = ["Curriculum", "Draw", "Lesson"]

_TEXTS_PER_CANDIDATE = 5  # half a logit of 2.5: with none, settling lost one of 16 again (docs/lab-log.md)


class Lesson(NamedTuple):
    """A fingerprint with one of its accepted responses."""

    fingerprint: Fingerprint
    response: int
    """Index among the accepted responses."""


class Draw(NamedTuple):
    """A lesson asked inside one template."""

    lesson: int
    example: Example
    alternatives: tuple[int, ...]
    """First tokens of the other accepted responses: no competitors, since each of them counts as a hit."""


class Curriculum:
    """The queue of what to teach. Every process holds the same queue and sees the same margins, so all stay in step.

    A lesson counts as learned after ``patience`` visits in a row with a margin of at least ``safe_margin`` (in logits):
    one where there is a single template, several where templates are drawn at random. With ``skip_learned`` off, every
    lesson is in every pass.
    """

    def __init__(
        self,
        fingerprints: Sequence[Fingerprint],
        prompter: Prompter,
        *,
        templates: Sequence[str] = (PLAIN,),
        batch_size: int,
        safe_margin: float,
        patience: int = 1,
        skip_learned: bool = True,
        seed: int = 0,
    ) -> None:
        self._curriculum = [Lesson(f, number) for f in fingerprints for number in range(len(f.responses))]
        self._prompter = prompter
        self._templates = list(templates)
        self._batch_size = batch_size
        self._safe_margin = safe_margin
        self._patience = patience
        self._skip_learned = skip_learned
        self._rng = random.Random(seed)  # training chance: repeatable, no secret
        self._streaks = [0] * len(self._curriculum)
        self._margins = [float("-inf")] * len(self._curriculum)  # at the last visit
        self._queue: list[int] = []
        self.passes = 0

    def __len__(self) -> int:
        return len(self._curriculum)

    @property
    def unlearned(self) -> list[int]:
        """Curriculum that the next pass will hold."""
        if not self._skip_learned:
            return list(range(len(self._curriculum)))
        return [lesson for lesson, streak in enumerate(self._streaks) if streak < self._patience]

    @property
    def unanswered(self) -> bool:
        """Whether some lesson's response was not the likeliest at its last visit, with a little to spare for settling."""
        return min(self._margins) < self._safe_margin / _TEXTS_PER_CANDIDATE

    @property
    def pass_ended(self) -> bool:
        """Whether every lesson of the pass was drawn."""
        return not self._queue

    def start_pass(self, *, everything: bool = False) -> None:
        """Queue the unlearned lessons, or all of them, in a new order."""
        self._queue = list(range(len(self._curriculum))) if everything else self.unlearned
        self._rng.shuffle(self._queue)
        self.passes += 1

    def next_batch(self) -> list[Draw]:
        """The next global batch of the pass, each lesson inside a template drawn for this visit."""
        batch, self._queue = self._queue[: self._batch_size], self._queue[self._batch_size :]
        return [self.draw(lesson, self._rng.choice(self._templates)) for lesson in batch]

    def draw(self, lesson: int, template: str) -> Draw:
        """A lesson inside a template."""
        fingerprint, response = self._curriculum[lesson]
        examples = self._prompter.examples(fingerprint, template)
        example = examples[min(response, len(examples) - 1)]
        firsts = {other.ids[other.response_start] for other in examples} - {example.ids[example.response_start]}
        return Draw(lesson, example, tuple(sorted(firsts)))

    def sweep(self) -> list[Draw]:
        """Every lesson once, asked plainly where that is trained, for a full measurement."""
        template = PLAIN if PLAIN in self._templates else self._templates[0]
        return [self.draw(lesson, template) for lesson in range(len(self._curriculum))]

    def record(self, draws: Sequence[Draw], margins: Sequence[float]) -> None:
        """What a visit showed: the smallest margin of each draw's response tokens."""
        for draw, margin in zip(draws, margins, strict=True):
            self._margins[draw.lesson] = margin
            self._streaks[draw.lesson] = self._streaks[draw.lesson] + 1 if margin >= self._safe_margin else 0
