"""A model that the owner holds is asked all keys once by a channel; tests are replayed from its replies.

Nothing is written and no key is spent: it is a rehearsal of ``verify``.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from insignia.fingerprints.sets import FingerprintSet
from insignia.statistics.betting import Outcome
from insignia.suspects.base import CHANNELS, Channel, Reply, RequestOptions, TextModel
from insignia.verification import rules_for
from insignia.verification.innocents import measuring_rules
from insignia.verification.interview import Question, ask_by
from insignia.verification.matching import Expected, Match, expected_responses
from insignia.verification.protocol import askable
from insignia.verification.running_verdict import RunningVerdict
from insignia.verification.transcript import Entry

__all__ = ["Replayed", "ask", "replay", "wanted"]

_ANY = "0" * 64  # a replay has no chain of lines


def ask(
    model: TextModel, prints: FingerprintSet, channels: Sequence[Channel] = CHANNELS, **manner: object
) -> dict[Channel, list[Reply]]:
    """Ask each key once by each channel, in the manner of ``verify`` but for these request options."""
    options = RequestOptions.model_validate(measuring_rules(prints).manner.model_dump() | manner)
    questions = [Question.about(each, number, each.asked_key) for number, each in enumerate(prints)]
    return {channel: list(ask_by(channel, model, questions, options)) for channel in channels}


def wanted(prints: FingerprintSet) -> dict[int, Expected]:
    """Number of each fingerprint that ``verify`` can ask -> what is sought in the reply."""
    return {
        number: expected_responses(prints.fingerprints[number], prints.max_response_length, Match())
        for number in sorted(askable(prints))
    }


class Replayed(NamedTuple):
    """One test."""

    outcome: Outcome
    asked: int
    """Keys asked until it ended."""
    log_p: float
    """Logarithm of the anytime-valid p-value when it ended."""
    log_p_of_all: float
    """The same after all keys."""
    hits: float
    """Share of keys at which the response came first."""


def replay(
    prints: FingerprintSet,
    searches: Mapping[int, Expected],
    channel: Channel,
    replies: Sequence[Reply],
    order: Sequence[int],
    *,
    alpha: float = 1e-6,
) -> Replayed:
    """The real test on these replies. After its end the other keys are added too, for the p-value of all.

    Raises:
        InputError: the set has no design null.
    """
    rules = rules_for(prints, channel=channel, alpha=alpha, cover=0)
    running, ended = RunningVerdict(rules, searches, max_queries=len(order)), None
    for asked, number in enumerate(order, 1):
        running.add(Entry(number=number, question=prints.fingerprints[number].asked_key, reply=replies[number], previous=_ANY))
        if ended is None and (outcome := running.outcome) is not None:
            ended = outcome, asked, running.tally.log_p_value
    log_p_of_all = running.tally.log_p_value
    return Replayed(*(ended or ("inconclusive", len(order), log_p_of_all)), log_p_of_all, running.tally.hits / len(order))
