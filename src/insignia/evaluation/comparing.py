"""Compare two models by their scores on the same questions."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from insignia.errors import EvaluationError
from insignia.evaluation.harmlessness import Comparison, HarmGrid, Replies, ReplyChange, Scores, TaskChange
from insignia.statistics.paired import Change, bootstrap, mcnemar
from insignia.statistics.tails import holm

__all__ = ["Answers", "compare"]


class Answers(NamedTuple):
    """All that a model was asked."""

    name: str
    tasks: Mapping[str, Scores]
    replies: Replies


def compare(before: Answers, after: Answers, grid: HarmGrid, *, seed: int) -> Comparison:
    """The change of each task, of their mean, and of the replies to ordinary prompts.

    Raises:
        EvaluationError: the models were asked other questions.
    """
    pairs = [_paired(scores, after.tasks[name]) for name, scores in before.tasks.items()]
    changes = [Change.of(pair) for pair in pairs]
    lost_gained = [(sum(change < 0 for change in pair), sum(change > 0 for change in pair)) for pair in pairs]
    p_values = [mcnemar(*counts) for counts in lost_gained]
    at_once = 1 - (1 - grid.confidence) / len(changes)  # Bonferroni: all tasks' intervals hold together
    tasks = tuple(
        TaskChange(
            task=name,
            metric=before.tasks[name].metric,
            questions=len(pair),
            before=before.tasks[name].mean,
            after=after.tasks[name].mean,
            lost=lost,
            gained=gained,
            **_known(change, [pair], grid, seed),
            p_value=p_value,
            p_adjusted=adjusted,
            harmful=change.finding(grid.margin, at_once) == "harmful",
            reported_before=before.tasks[name].reported,
            reported_after=after.tasks[name].reported,
        )
        for name, pair, change, (lost, gained), p_value, adjusted in zip(
            before.tasks, pairs, changes, lost_gained, p_values, _adjusted(p_values), strict=True
        )
    )
    mean = Change.average(changes)
    return Comparison(
        before=before.name,
        after=after.name,
        tasks=tasks,
        **_known(mean, pairs, grid, seed),
        p_value=mean.p_value(grid.margin),
        power=mean.power(grid.margin, grid.confidence),
        more_questions=mean.more_questions(grid.margin, grid.confidence),
        finding="harmful" if any(task.harmful for task in tasks) else mean.finding(grid.margin, grid.confidence),
        replies=_replies(before.replies, after.replies, grid),
    )


def _paired(before: Scores, after: Scores) -> list[float]:
    if before.questions != after.questions:
        raise EvaluationError(
            f"the models were asked other questions of {before.task}; delete the folder's cells and ask again"
        )
    return [new - old for old, new in zip(before.scores, after.scores, strict=True)]


def _known(change: Change, pairs: Sequence[Sequence[float]], grid: HarmGrid, seed: int) -> dict[str, float]:
    """The fields of ``ScoreChange``."""
    interval, resampled = change.interval(grid.confidence), bootstrap(pairs, grid.confidence, seed=seed)
    return {
        "change": change.mean,
        "low": interval.low,
        "high": interval.high,
        "bootstrap_low": resampled.low,
        "bootstrap_high": resampled.high,
    }


def _adjusted(p_values: Sequence[float]) -> list[float]:
    return [math.exp(value) for value in holm([math.log(max(p, 1e-300)) for p in p_values])]


def _replies(before: Replies, after: Replies, grid: HarmGrid) -> ReplyChange:
    count, most = len(before.lengths), before.most
    change = Change.of([(new - old) / most for old, new in zip(before.lengths, after.lengths, strict=True)])
    low, high = change.interval(grid.confidence)
    ends = list(zip(before.ended, after.ended, strict=True))
    return ReplyChange(
        prompts=count,
        most=most,
        length_before=sum(before.lengths) / count,
        length_after=sum(after.lengths) / count,
        low=most * low,
        high=most * high,
        ended_before=sum(before.ended),
        ended_after=sum(after.ended),
        p_value=mcnemar(ends.count((True, False)), ends.count((False, True))),
    )
