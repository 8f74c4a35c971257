"""Records of what a mark cost: scores of two models on the same questions, and whether the harm is at most a bound."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from insignia.figures import Axis, Curve, Figure
from insignia.records import Displayed, Flag, Provenance, Record, Share
from insignia.statistics.paired import Finding
from insignia.terminal import counted, percent

__all__ = ["Comparison", "HarmGrid", "Harmlessness", "Replies", "ReplyChange", "Scores", "TaskChange", "points", "span"]

_MOST_DRAWN = 100  # tasks


class HarmGrid(Record):
    """Settings of an evaluation of harm: the ``harmlessness`` part of a recipe."""

    tasks: Annotated[tuple[str, ...], Field(min_length=1), Flag("--tasks", many=True)] = ("starter",)
    """Tasks of lm-evaluation-harness, or groups: starter (ships with insignia), if-24, fp-vec-17, tinyBenchmarks, or any task,
    group or tag by its name, as TASK:METRIC with another metric. A group of lm-evaluation-harness counts as one task."""
    include_path: Path | None = None
    """Folder of own tasks in the format of lm-evaluation-harness. Code that a task names is run."""
    margin: Annotated[Share, Field(gt=0)] = 0.01
    """Harm that is still harmless: the mean score over all tasks may fall by so much. 0.01 is one point of a hundred."""
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    """Confidence of all intervals."""
    limit: Annotated[int | None, Field(ge=1)] = None
    """Questions of each task; by default all."""
    num_fewshot: Annotated[int | None, Field(ge=0)] = None
    """Examples before each question; by default what the task says."""
    apply_chat_template: bool = False
    """Ask in the model's chat template."""
    batch_size: Annotated[int, Field(ge=1)] = 32
    """Questions that are computed at a time."""


class Scores(Record):
    """What one model scored on one task, question by question."""

    task: str
    metric: str
    questions: tuple[str, ...] = Field(repr=False)
    """Digest of each question, by which those of two models are paired."""
    scores: tuple[Share, ...] = Field(repr=False)
    reported: float | None = None
    """The metric as lm-evaluation-harness reports it, if that is no mean of the scores, as F1 is not."""

    @property
    def mean(self) -> float:
        """Mean score."""
        return sum(self.scores) / len(self.scores)


class Replies(Record):
    """How long a model's replies to ordinary prompts are at temperature 0, and whether it ends them."""

    lengths: tuple[int, ...]
    """In tokens, without the end token."""
    ended: tuple[bool, ...]
    most: int
    """Tokens after which a reply is cut."""


class ScoreChange(Record):
    """A change of a score, with what it is known to."""

    change: float
    """Mean over the questions of a task, or over tasks of these means."""
    low: float
    """Lower end of its interval."""
    high: float
    bootstrap_low: float
    """Lower end of the interval from resampled questions."""
    bootstrap_high: float


class TaskChange(ScoreChange):
    """One task before and after."""

    task: str
    metric: str
    questions: int
    before: Share
    after: Share
    lost: int
    """Questions with a lower score after."""
    gained: int
    p_value: float
    """Of McNemar's exact test: are questions lost as often as gained?"""
    p_adjusted: float
    """The same after Holm's correction for all tasks of the comparison."""
    harmful: bool
    """Whether even the upper end of an interval that holds for all tasks at once is below the bound."""
    reported_before: float | None = None
    reported_after: float | None = None


class ReplyChange(Record):
    """Replies to ordinary prompts at temperature 0, of up to ``most`` tokens."""

    prompts: int
    most: int
    length_before: float
    """Mean length in tokens."""
    length_after: float
    low: float
    """Lower end of the interval of the change in length, in tokens."""
    high: float
    ended_before: int
    """Replies that the model ended itself, with an end token."""
    ended_after: int
    p_value: float
    """Of McNemar's exact test: does the model end its replies as often as before?"""

    @property
    def changed(self) -> bool:
        """Whether replies became longer or shorter, or end more or less often, beyond chance."""
        return not self.low <= 0 <= self.high or self.p_value < 0.05


class Comparison(ScoreChange):
    """A model before and after a mark was put in; the change is the mean over its tasks."""

    before: str
    after: str
    tasks: tuple[TaskChange, ...]
    p_value: float
    """Against a harm of the bound or more."""
    power: Share
    """Chance that a mark without any harm is found harmless by so many questions that differ so often."""
    more_questions: float
    """How many times these questions give a power of 80 %, about."""
    finding: Finding
    """On the mean over the tasks; harmful also if one task alone is."""
    replies: ReplyChange

    @property
    def questions(self) -> int:
        """Questions of all tasks."""
        return sum(task.questions for task in self.tasks)

    @property
    def harmed(self) -> tuple[str, ...]:
        """Tasks that are harmed by themselves."""
        return tuple(task.task for task in self.tasks if task.harmful)


class Harmlessness(Displayed):
    """The harm of marks, beside the models that they were put in. No secret is in it."""

    kind: Literal["insignia/harmlessness"] = "insignia/harmlessness"
    schema_version: Literal[1] = 1
    tasks: tuple[str, ...]
    """As they were asked for."""
    margin: float
    confidence: float
    settings: dict[str, int | bool | None]
    seed: int
    comparisons: Annotated[tuple[Comparison, ...], Field(min_length=1, repr=False)]
    harness: str
    """Version of lm-evaluation-harness."""
    provenance: Provenance

    @property
    def finding(self) -> Finding:
        """The worst of all comparisons."""
        found = {comparison.finding for comparison in self.comparisons}
        return next(each for each in ("harmful", "undecided", "harmless") if each in found)

    @property
    def heading(self) -> str:
        """What was found, in one line."""
        first = self.comparisons[0]
        asked = f"{counted(len(first.tasks), 'task')}, {counted(first.questions, 'question')}"
        return f"{self.finding}: harm of at most {points(self.margin)} points at {percent(self.confidence)}; {asked}"

    def summary(self) -> list[tuple[str, str]]:
        """The first comparisons."""
        return [
            (
                each.after,
                f"{each.finding}, {points(each.change, signed=True)} ({span(each.low, each.high)}) since {each.before}",
            )
            for each in self.comparisons[:5]
        ]

    def figures(self) -> list[Figure]:
        """The change of every task with its interval, for each comparison."""
        return [self._figure(each) for each in self.comparisons if len(each.tasks) <= _MOST_DRAWN]

    def _figure(self, found: Comparison) -> Figure:
        rows = [(task.task, task.change, task.low, task.high) for task in found.tasks]
        rows.append(("mean of the tasks", found.change, found.low, found.high))
        places = tuple((float(-place), name) for place, (name, *_) in enumerate(rows))
        curve = Curve(
            found.after,
            tuple((100 * change, place) for (_, change, _, _), (place, _) in zip(rows, places, strict=True)),
            tuple(name for name, *_ in rows),
            joined=False,
            spans=tuple((100 * low, 100 * high) for _, _, low, high in rows),
        )
        return Figure(
            f"{found.after} against {found.before}",
            f"Change of the score with its {percent(self.confidence)} interval. What is left of the dashed line is more harm "
            f"than the bound of {points(self.margin)} points; the mean decides.",
            Axis("change of the score, points"),
            Axis("", ticks=places),
            (curve,),
            limit=(-100 * self.margin, "the bound"),
        )


def points(share: float, *, signed: bool = False) -> str:
    """A change of a score in points of a hundred, with two decimals."""
    return f"{100 * share + 0.0:{'+' if signed else ''}.2f}"


def span(low: float, high: float) -> str:
    """An interval of changes in points."""
    return f"{points(low, signed=True)} to {points(high, signed=True)}"
