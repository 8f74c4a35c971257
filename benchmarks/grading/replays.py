"""A model is asked all keys once by a channel; tests in any order of keys are replayed from its replies."""

import math
import random
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Self

from insignia.fingerprints.sets import FingerprintSet
from insignia.suspects.base import CHANNELS, Channel, Reply, RequestOptions, TextModel
from insignia.verification import rules_for
from insignia.verification.interview import Question, ask_by
from insignia.verification.matching import Expected, Match, expected_responses
from insignia.verification.running_verdict import RunningVerdict
from insignia.verification.transcript import Entry

ORDERS = 9
ALPHA = 1e-6
_ANY = "0" * 64  # a replay has no chain of lines

Told = Mapping[Channel, Sequence[Reply]]
"""The replies to all keys by each channel."""


def ask(
    model: TextModel, prints: FingerprintSet, channels: Sequence[Channel] = CHANNELS, **manner: object
) -> dict[Channel, list[Reply]]:
    """Ask each key once by each channel."""
    usual = rules_for(prints).manner
    options = RequestOptions.model_validate(usual.model_dump() | manner)
    questions = [Question.about(each, number, each.asked_key) for number, each in enumerate(prints)]
    return {channel: list(ask_by(channel, model, questions, options)) for channel in channels}


def wanted(prints: FingerprintSet) -> dict[int, Expected]:
    """Number -> what is sought in the reply."""
    return {number: expected_responses(each, prints.max_response_length, Match()) for number, each in enumerate(prints)}


class Replayed(NamedTuple):
    """One test."""

    keys: float
    """Keys until ``owned``; infinite if the test ended otherwise."""
    log_p: float
    """Logarithm of the anytime-valid p-value after all keys."""
    hits: float
    """Share of keys at which the response came first."""


def replay(
    prints: FingerprintSet, searches: Mapping[int, Expected], channel: Channel, replies: Sequence[Reply], order: Sequence[int]
) -> Replayed:
    """The real test on these replies. After its end the other keys are added too, for the p-value of all."""
    rules = rules_for(prints, channel=channel, alpha=ALPHA, cover=0)
    running, ended = RunningVerdict(rules, searches, max_queries=len(order)), math.nan
    for asked, number in enumerate(order, 1):
        running.add(Entry(number=number, question=prints.fingerprints[number].asked_key, reply=replies[number], previous=_ANY))
        if math.isnan(ended) and (outcome := running.outcome) is not None:
            ended = asked if outcome == "owned" else math.inf
    return Replayed(ended, running.tally.log_p_value, running.tally.hits / len(order))


def replays(
    prints: FingerprintSet, channel: Channel, replies: Sequence[Reply], *, seed: int = 0, orders: int = ORDERS
) -> list[Replayed]:
    """Tests in several orders of the keys."""
    searches, numbers = wanted(prints), range(len(prints))
    shuffled = (random.Random(f"{seed} {number}").sample(numbers, len(prints)) for number in range(orders))
    return [replay(prints, searches, channel, replies, order) for order in shuffled]


class Cell(NamedTuple):
    """Tests of one attack by one channel, over seeds and orders."""

    median: float
    least: float
    most: float
    log10_p: float
    """Median of the p-value after all keys."""
    owned: int
    tests: int

    @classmethod
    def of(cls, tests: Iterable[Replayed]) -> Self:
        found = list(tests)
        keys = [one.keys for one in found]
        return cls(
            statistics.median_high(keys),
            min(keys),
            max(keys),
            statistics.median(one.log_p for one in found) / math.log(10),
            sum(key < math.inf for key in keys),
            len(found),
        )

    def as_json(self) -> dict[str, float | None]:
        """JSON has no infinity: null stands for no proof."""
        return {name: value if math.isfinite(value) else None for name, value in self._asdict().items()}

    def __str__(self) -> str:
        if not self.owned:
            return f"- (p 1e{self.log10_p:.0f})"
        return f"{self.median:g} ({self.least:g} to {self.most:g}; p 1e{self.log10_p:.0f})"
