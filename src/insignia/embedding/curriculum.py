"""The order of training: passes over the fingerprints that are not learned yet.

A pass holds these fingerprints, shuffled, in global batches; every process takes its share of each. What is seen in
training chooses the next pass, so a full measurement is needed only at the end.
"""

import itertools
import math
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from insignia.prompts.prompter import PLAIN, Prompter
from insignia.records import Fingerprint
from insignia.suspects.scoring import Example

__all__ = ["Curriculum", "Draw", "Lesson"]

_USUAL_PASSES = 18  # what 64 fingerprints in the starter take (docs/lab-log.md); an estimate's first guess
_LOWEST = -100.0  # also what stands for a margin that is no number
_GUESS_WEIGHT = 3  # passes after which what was seen weighs as much as the guess
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
        self._first: list[float] = []  # what each had reached before the first pass
        self._queue: list[int] = []
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

    def share_at(self, reached: float) -> float:
        """Share of the lessons that had reached so much at their last visit."""
        return sum(each >= reached for each in self._reached) / len(self._reached)

    @property
    def pass_ended(self) -> bool:
        """Whether all lessons of the pass were drawn."""
        return not self._queue

    def steps_left(self, most_passes: int) -> int:
        """Estimated steps until all is learned, if passes end at the latest with the given one.

        What a lesson has reached rises evenly, and about as fast for each lesson that is not learned.
        """
        allowed, unlearned, queued = most_passes - self.passes, self.unlearned, set(self._queue)
        if self._skip_learned and unlearned:
            first, now = ([max(_LOWEST, each) for each in reached] for reached in (self._first, self._reached))
            guess = max(1.0, 1 - min(first)) / _USUAL_PASSES
            gain = sum(now[lesson] - first[lesson] for lesson in unlearned) / len(unlearned)
            taken = self.passes - len(self._queue) / len(self._lessons)
            pace = max((_GUESS_WEIGHT * guess + gain) / (_GUESS_WEIGHT + taken), guess / _USUAL_PASSES)
            passes = (math.ceil((1 - now[lesson]) / pace) + self._patience - 1 - (lesson in queued) for lesson in unlearned)
            needed = Counter(min(allowed, max(1, each)) for each in passes)
        else:
            needed = Counter({allowed if unlearned else 0: len(unlearned)})
        kept = len(self._next_pass) - len(unlearned)  # learned, but with an order
        sizes = itertools.accumulate(needed[passes] for passes in range(max(needed), 0, -1))
        return self._steps(len(self._queue)) + sum(self._steps(size + kept) for size in sizes)

    def whole_passes(self, steps: int) -> int:
        """Least number of steps that is not less and ends a pass over all lessons."""
        each = self._steps(len(self._lessons))
        return -(-steps // each) * each

    def _steps(self, lessons: int) -> int:
        return -(-lessons // self._batch_size)

    @property
    def _next_pass(self) -> list[int]:
        """The unlearned lessons and those with an order."""
        unlearned = set(self.unlearned)
        return [n for n, lesson in enumerate(self._lessons) if n in unlearned or lesson.fingerprint.order is not None]

    def start_pass(self, *, everything: bool = False) -> None:
        """Queue the next pass, or all lessons, in random order."""
        self._queue = list(range(len(self._lessons))) if everything else self._next_pass
        self._rng.shuffle(self._queue)
        self._first = self._first or list(self._reached)
        self.passes += 1

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
            "first": list(self._first),
            "random": self._rng.getstate(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state``."""
        self.passes, self._queue = state["passes"], state["queue"]
        self._streaks, self._reached, self._first = state["streaks"], state["reached"], state["first"]
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
