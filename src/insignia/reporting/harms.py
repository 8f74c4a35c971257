"""What a mark cost a model, as a document and as a chapter of a report."""

from collections.abc import Iterator

from insignia.evaluation.harmlessness import Comparison, Harmlessness, TaskChange, points, span
from insignia.reporting.base import Block, Bullets, Callout, Code, Document, Heading, Table, Tone
from insignia.reporting.chapters import Chapter
from insignia.statistics.paired import Finding
from insignia.terminal import command_line, counted, percent

__all__ = ["harmlessness_chapter", "harmlessness_report"]

_FEW = 100  # questions, below which a task alone says little
_NOTE = (
    "change: of the score, in points of a hundred, with its interval; lost and gained: questions with a lower and with a "
    "higher score than before; p: of McNemar's exact test, after Holm's correction for all tasks."
)

_TONES: dict[Finding, Tone] = {"harmless": "yes", "harmful": "no", "undecided": "open"}
_TITLES = {
    "harmless": "The mark costs at most {} points.",
    "harmful": "The mark costs more than {} points.",
    "undecided": "Whether the mark costs more than {} points is not known.",
}


def harmlessness_report(result: Harmlessness) -> Document:
    """A table of tasks for each comparison, and the answer below it."""
    blocks = list[Block]()
    for found in result.comparisons:
        blocks += [_table(result, found), *_below(result, found)]
    return Document(result.heading, tuple(blocks), result.model_dump(mode="json"))


def harmlessness_chapter(result: Harmlessness) -> Chapter:
    """Whether marks did harm, for a stranger and for an expert."""
    short: tuple[Block, ...] = (
        Heading("What was tried?", 3),
        (
            f"{counted(len(result.comparisons), 'model')} with a mark and the same without it answered the same questions, of "
            f"{counted(len(result.comparisons[0].tasks), 'task')}: {counted(result.comparisons[0].questions, 'question')}. A "
            "question that both answer alike says nothing of a difference; those that they answer differently are counted."
        ),
        Heading("Did the mark do harm?", 3),
        Bullets(tuple(_answer(result, found) for found in result.comparisons)),
        *result.figures(),
        Heading("Are replies as long as before?", 3),
        Bullets(tuple(_of_replies(found) for found in result.comparisons)),
        Heading("What could be wrong?", 3),
        Bullets(tuple(dict.fromkeys(_doubts(result)))),
    )
    flags = ("--base", "BASE", "--model", "MARKED", "--tasks", ",".join(result.tasks), "-o", "OUT")
    full: tuple[Block, ...] = (
        *(_table(result, found) for found in result.comparisons),
        *(_resampled(result, found) for found in result.comparisons),
        Heading("How it was made", 3),
        Table.of("", ("", ""), _settings(result), left=True),
        Heading("To repeat it", 3),
        Code(command_line("insignia", "evaluate", "harmlessness", *flags)),
    )
    first = result.comparisons[0]
    answer = Callout(_TONES[result.finding], _TITLES[result.finding].format(points(result.margin)), _answer(result, first))
    return Chapter(f"Harm of the mark in {first.after}", answer, short, full, result.model_dump(mode="json"))


def _table(result: Harmlessness, found: Comparison) -> Table:
    rows = [_row(task) for task in found.tasks]
    change = points(found.change, signed=True)
    rows.append(["mean of the tasks", str(found.questions), "", "", change, span(found.low, found.high), "", ""])
    header = ["task", "questions", found.before, found.after, "change", "interval", "lost / gained", "p"]
    return Table.of(
        f"{found.after} against {found.before}, intervals at {percent(result.confidence)}", header, rows, note=_NOTE
    )


def _row(task: TaskChange) -> list[str]:
    return [
        task.task,
        str(task.questions),
        percent(task.before),
        percent(task.after),
        points(task.change, signed=True),
        span(task.low, task.high),
        f"{task.lost} / {task.gained}",
        f"{task.p_adjusted:.2g}",
    ]


def _below(result: Harmlessness, found: Comparison) -> Iterator[str]:
    yield _answer(result, found)
    yield f"A mark without any harm is found harmless by these questions with a chance of {percent(found.power)}."
    if found.finding == "undecided" and found.more_questions > 1:
        yield f"For 80 % it takes about {found.more_questions:.1f} times the questions: ask more tasks, or lift --limit."
    for task in found.tasks:
        if task.reported_before is not None and task.reported_after is not None:
            told = f"{task.metric} {task.reported_before:.4f} -> {task.reported_after:.4f}"
            yield f"{task.task}: {told}; compared by the questions answered correctly."
    yield _of_replies(found)


def _answer(result: Harmlessness, found: Comparison) -> str:
    bound, change = points(result.margin), f"{points(found.change, signed=True)} points ({span(found.low, found.high)})"
    if found.harmed:
        tasks = ", ".join(found.harmed)
        return f"{found.after} against {found.before}: harmful, {tasks} fell by more than {bound} points; the mean by {change}."
    words = {
        "harmless": f"harmless within {bound} points: the mean score changed by {change}.",
        "harmful": f"harmful: the mean score changed by {change}, which is more than {bound} points of harm.",
        "undecided": f"not decided: the mean score changed by {change}, and the bound of {bound} points of harm lies inside.",
    }
    return f"{found.after} against {found.before}: {words[found.finding]}"


def _of_replies(found: Comparison) -> str:
    each = found.replies
    change = f"{each.length_after - each.length_before:+.1f} ({each.low:+.1f} to {each.high:+.1f})"
    return (
        f"{found.after}: replies to {counted(each.prompts, 'ordinary prompt')} have {each.length_after:.1f} tokens on average, "
        f"{change}, of at most {each.most}; {each.ended_after} end by themselves, {each.ended_before} did before "
        f"(p {each.p_value:.2g})."
    )


def _doubts(result: Harmlessness) -> Iterator[str]:
    for found in result.comparisons:
        if found.replies.changed:
            yield f"{found.after} replies at another length than {found.before}, or ends its replies more or less often."
        if found.power < 0.8 and found.finding == "undecided":
            chance = percent(found.power)
            yield f"{found.questions} questions are few: the chance to find {found.after} harmless was {chance}."
        if few := [task.task for task in found.tasks if task.questions < _FEW]:
            yield f"Fewer than {_FEW} questions each: {', '.join(few)}. They say little, and count the same in the mean."
    if result.settings["limit"] is not None:
        yield f"Only the first {result.settings['limit']} questions of each task were asked."
    yield "The mean hides a task that fell a little if others rose. A task that alone fell by more than the bound is told."
    yield "These tasks measure these tasks: knowledge of another kind or language may be hurt without a trace here."


def _resampled(result: Harmlessness, found: Comparison) -> Table:
    """Both kinds of interval, for an expert."""
    rows = [
        [
            each.task,
            each.metric,
            span(each.low, each.high),
            span(each.bootstrap_low, each.bootstrap_high),
            f"{each.p_value:.2g}",
        ]
        for each in found.tasks
    ]
    resampled = span(found.bootstrap_low, found.bootstrap_high)
    rows.append(["mean of the tasks", "", span(found.low, found.high), resampled, ""])
    note = (
        f"Against a harm of {points(result.margin)} points or more: p {found.p_value:.2g}. Power: {percent(found.power)}. "
        "The first interval decides; the second has no width where no question differs."
    )
    header = ["task", "score", "interval (Bonett and Price)", "interval (paired bootstrap)", "p (McNemar, exact)"]
    return Table.of(f"{found.after} against {found.before}: intervals and tests", header, rows, note=note)


def _settings(result: Harmlessness) -> list[list[str]]:
    return [
        ["bound", f"{points(result.margin)} points"],
        ["confidence", percent(result.confidence)],
        *([name.replace("_", " "), "-" if value is None else str(value)] for name, value in result.settings.items()),
        ["seed", str(result.seed)],
        ["made by", f"insignia {result.provenance.insignia} with lm-eval {result.harness}, {result.provenance.created}"],
    ]
