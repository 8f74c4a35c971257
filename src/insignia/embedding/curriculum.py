"""The order of training: passes over the fingerprints that are not learned yet.

A pass holds these fingerprints, shuffled, in global batches; every process takes its share of each. What is seen in
training chooses the next pass, so a full measurement is needed only at the end.
"""

import math
import random
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from insignia.prompts.prompter import PLAIN, Prompter
from insignia.records import Fingerprint
from insignia.suspects.scoring import Example

__all__ = ["Curriculum", "Draw", "Lesson"]

_USUAL_FACTOR = 0.8  # per pass; 64 fingerprints in the starter took 18 and 34 passes (docs/lab-log.md)
_SPARE = 0.2  # half a logit of 2.5: without it, the cooldown lost 1 of 16 again (docs/lab-log.md)


class Lesson(NamedTuple):
    """A fingerprint with one of its responses."""

    fingerprint: Fingerprint
    response: int
    """Index of the response."""
    number: int
    """Number of the fingerprint among those given."""


class Draw(NamedTuple):
    """A lesson in one prompt template."""

    lesson: int
    example: Example
    alternatives: tuple[int, ...]
    """First tokens of the other responses. Each counts as a hit, so they do not compete."""
    orders: tuple[tuple[int, ...], ...] = ()
    """For the first response tokens, as far as they have a secret order: the candidates in it, the response's token first."""


class Curriculum:
    """Queue of lessons. Every process has the same queue and records the same.

    A lesson is learned after ``patience`` visits in a row in which it reached 1, the whole of what is safe. One with an order
    stays in every pass even so: an order is many small differences, which training on other lessons wears off.
    Without ``skip_learned``, every pass holds every lesson.
    """

    def __init__(
        self,
        fingerprints: Sequence[Fingerprint],
        prompter: Prompter,
        *,
        templates: Sequence[str] = (PLAIN,),
        batch_size: int,
        patience: int = 1,
        skip_learned: bool = True,
        seed: int = 0,
    ) -> None:
        self._lessons = [Lesson(f, which, number) for number, f in enumerate(fingerprints) for which in range(len(f.responses))]
        self._prompter = prompter
        self._templates = list(templates)
        self._batch_size = batch_size
        self._patience = patience
        self._skip_learned = skip_learned
        self._rng = random.Random(seed)  # repeatable, not secret
        self._streaks = [0] * len(self._lessons)
        self._reached = [0.0] * len(self._lessons)  # at the last visit
        self._queue: list[int] = []
        self._unlearned: list[int] = []  # number at the end of each pass
        self.passes = 0

    def __len__(self) -> int:
        return len(self._lessons)

    def number_of(self, draw: Draw) -> int:
        """Number of a draw's fingerprint among those given."""
        return self._lessons[draw.lesson].number

    @property
    def unlearned(self) -> list[int]:
        """Lessons of the next pass."""
        if not self._skip_learned:
            return list(range(len(self._lessons)))
        return [lesson for lesson, streak in enumerate(self._streaks) if streak < self._patience]

    @property
    def unanswered(self) -> bool:
        """Whether some response was not clearly the most likely one at its last visit."""
        return min(self._reached) < _SPARE

    @property
    def pass_ended(self) -> bool:
        """Whether all lessons of the pass were drawn."""
        return not self._queue

    @property
    def steps_left(self) -> int:
        """Estimated steps until all is learned: the number that is not falls by the same factor in each pass, once it falls."""
        whole, now = len(self._lessons), self._unlearned[-1] if self._unlearned else len(self._lessons)
        if not now:
            return 0
        waited = self._unlearned.count(whole)  # passes before the first fingerprint was learned
        before = self._unlearned[-3] if len(self._unlearned) > 2 else whole
        factor = min(_USUAL_FACTOR, max(0.1, (now / before) ** 0.5))
        passes = math.ceil(math.log(1 / (now + 1)) / math.log(factor)) - (waited if now == whole else 0)
        return max(1, passes) * -(-len(self._next_pass) // self._batch_size)

    @property
    def _next_pass(self) -> list[int]:
        """The unlearned lessons and those with an order."""
        unlearned = set(self.unlearned)
        return [n for n, lesson in enumerate(self._lessons) if n in unlearned or lesson.fingerprint.order is not None]

    def start_pass(self, *, everything: bool = False) -> None:
        """Queue the next pass, or all lessons, in random order."""
        self._queue = list(range(len(self._lessons))) if everything else self._next_pass
        self._rng.shuffle(self._queue)
        self.passes += 1

    def end_pass(self) -> None:
        """Keep how many lessons are not learned, for the estimate of what is left."""
        self._unlearned.append(len(self.unlearned))

    def next_batch(self) -> list[Draw]:
        """The next global batch, each lesson in a random template."""
        batch, self._queue = self._queue[: self._batch_size], self._queue[self._batch_size :]
        return [self.draw(lesson, self._rng.choice(self._templates)) for lesson in batch]

    def state(self) -> dict[str, Any]:
        """All that decides which lessons come next, as JSON."""
        return {
            "passes": self.passes,
            "queue": self._queue,
            "streaks": list(self._streaks),
            "reached": list(self._reached),
            "unlearned": list(self._unlearned),
            "random": self._rng.getstate(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state``."""
        self.passes, self._queue = state["passes"], state["queue"]
        self._streaks, self._reached, self._unlearned = state["streaks"], state["reached"], state["unlearned"]
        version, numbers, spare = state["random"]
        self._rng.setstate((version, tuple(numbers), spare))

    def draw(self, lesson: int, template: str) -> Draw:
        """A lesson in the given template."""
        fingerprint, response, _ = self._lessons[lesson]
        examples = self._prompter.examples(fingerprint, template)
        example = examples[min(response, len(examples) - 1)]
        firsts = {other.ids[other.response_start] for other in examples} - {example.ids[example.response_start]}
        trained = len(example.ids) - example.response_start
        return Draw(lesson, example, tuple(sorted(firsts)), _orders(fingerprint)[:trained])

    def sweep(self) -> list[Draw]:
        """Every lesson once, in the plain template if it is trained, for a full measurement."""
        template = PLAIN if PLAIN in self._templates else self._templates[0]
        return [self.draw(lesson, template) for lesson in range(len(self._lessons))]

    def record(self, draws: Sequence[Draw], reached: Sequence[float]) -> None:
        """Record which share of what is safe each draw reached; 1 or more is safe."""
        for draw, share in zip(draws, reached, strict=True):
            self._reached[draw.lesson] = share
            self._streaks[draw.lesson] = self._streaks[draw.lesson] + 1 if share >= 1 else 0


def _orders(fingerprint: Fingerprint) -> tuple[tuple[int, ...], ...]:
    """Return the token ids of the candidates in their secret order, for each response token that has one."""
    if fingerprint.order is None:
        return ()
    drawn = [(fingerprint.candidates or (), fingerprint.order)]
    drawn += [(each.candidates, each.order) for each in fingerprint.continuations or ()]
    return tuple(tuple(candidates[place].token_id for place in order) for candidates, order in drawn)
