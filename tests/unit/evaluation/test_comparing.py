"""Two models by their scores on the same questions: what is called harmful, harmless and undecided."""

import pytest

from handed_results import answers, harmlessness
from insignia.errors import EvaluationError
from insignia.evaluation.comparing import compare
from insignia.evaluation.harmlessness import HarmGrid, Harmlessness, Scores
from insignia.evaluation.task_groups import GROUPS, AskedTask, asked_tasks
from insignia.reporting.harms import harmlessness_report
from insignia.statistics.paired import mcnemar


def test_identical_models_are_harmless_and_the_power_is_told():
    found = harmlessness(questions=1500)
    (one,) = found.comparisons
    assert (found.finding, one.change, one.harmed, one.replies.changed) == ("harmless", 0, (), False)
    assert one.power > 0.99
    assert one.low < 0 < one.high
    assert (one.bootstrap_low, one.bootstrap_high) == (0, 0)
    assert str(found).startswith("harmless: harm of at most 1.00 points at 95.0 %; 2 tasks, 3000 questions")
    assert Harmlessness.model_validate_json(found.model_dump_json()) == found


def test_few_questions_leave_it_undecided_and_tell_how_many_it_takes():
    found = harmlessness(questions=60)
    (one,) = found.comparisons
    assert (found.finding, one.power < 0.2, one.more_questions > 2) == ("undecided", True, True)
    text = " ".join(block for block in harmlessness_report(found).blocks if isinstance(block, str))
    assert "For 80 % it takes about" in text


def test_lost_and_gained_questions_are_counted():
    before, after = answers("base", wrong=20), answers("marked", wrong=50)
    task = compare(before, after, HarmGrid(), seed=0).tasks[0]
    assert (task.lost, task.gained, task.questions) == (30, 0, 700)
    assert task.p_value == mcnemar(30, 0)
    assert task.p_adjusted == pytest.approx(2 * task.p_value)
    assert max(task.low, task.bootstrap_low) < task.change < min(task.high, task.bootstrap_high) < 0
    turned = compare(after, before, HarmGrid(), seed=0)
    assert (turned.tasks[0].gained, turned.finding) == (30, "harmless")


def test_one_task_that_falls_is_harm_though_the_mean_does_not():
    names = tuple(f"task {number}" for number in range(24))
    before, after = answers("base", tasks=names), answers("marked", tasks=names)
    hurt = answers("marked", tasks=names[:1], wrong=60).tasks
    found = compare(before, after._replace(tasks={**after.tasks, **hurt}), HarmGrid(), seed=0)
    assert found.low > -0.01
    assert (found.finding, found.harmed) == ("harmful", ("task 0",))


def test_shorter_replies_are_told():
    found = compare(answers("base", length=30), answers("marked", length=20), HarmGrid(), seed=0)
    assert found.finding == "harmless"
    assert found.replies.changed
    assert found.replies.low < -9 < found.replies.high < -5
    assert (found.replies.ended_before, found.replies.ended_after, found.replies.p_value) == (45, 45, 1)


def test_other_questions_are_no_pairs():
    other = answers("marked")
    shuffled = Scores(task="cloze", metric="acc", questions=("x",) * 700, scores=(1.0,) * 700)
    with pytest.raises(EvaluationError, match="other questions of cloze"):
        compare(answers("base"), other._replace(tasks={**other.tasks, "cloze": shuffled}), HarmGrid(), seed=0)


def test_the_papers_lists_have_their_number_of_tasks():
    assert [len(GROUPS[name]) for name in ("if-24", "fp-vec-17", "tinyBenchmarks", "starter")] == [24, 17, 6, 3]


def test_tasks_are_named_once_with_or_without_a_metric():
    assert asked_tasks(("piqa, sciq:acc", "piqa")) == (AskedTask("piqa"), AskedTask("sciq", "acc"))
    assert asked_tasks(("fp-vec-17", "rte:acc")) == GROUPS["fp-vec-17"]
