"""Groups of published tasks, as the papers that compared marked models list them.

A name is that of lm-evaluation-harness. A metric is what the paper reports; where it is no mean over questions (F1, Matthews),
models are compared by the questions that they answer correctly, and the metric is told beside it.
"""

from typing import NamedTuple, Self

from insignia.evaluation.bundled_tasks import BUNDLED

__all__ = ["GROUPS", "AskedTask", "asked_tasks"]


class AskedTask(NamedTuple):
    """A task and its metric."""

    name: str
    metric: str | None = None
    """None: the task's first of ``acc_norm``, ``acc``, ``exact_match`` and the like."""

    @classmethod
    def of(cls, text: str) -> Self:
        """Read ``TASK`` or ``TASK:METRIC``."""
        name, _, metric = text.partition(":")
        return cls(name, metric or None)


# Instructional Fingerprinting (Xu et al. 2024), the tasks and metrics of its code, at 0, 1 and 5 shots.
_IF_24 = """
    anli_r1:acc anli_r2:acc anli_r3:acc arc_challenge:acc_norm arc_easy:acc_norm piqa:acc_norm openbookqa:acc_norm
    headqa:acc_norm winogrande:acc logiqa:acc_norm sciq:acc_norm hellaswag:acc_norm boolq:acc cb:acc cola:mcc rte:acc wic:acc
    wsc:acc copa:acc multirc:acc record:f1 lambada_openai:acc lambada_standard:acc mmlu:acc
"""
# FP-VEC (Xu et al. 2024), the table of its project page.
_FP_VEC_17 = """
    anli_r1:acc anli_r2:acc anli_r3:acc boolq:acc copa:acc multirc:acc rte:acc lambada_standard:acc wic:acc winogrande:acc
    wsc:acc arc_challenge:acc_norm arc_easy:acc_norm logiqa:acc_norm openbookqa:acc_norm sciq:acc_norm cb:f1
"""
# Maia Polo et al. (2024): 100 questions of each of six benchmarks; the extrapolation to all questions is not used here.
_TINY = """
    tinyArc:acc_norm tinyHellaswag:acc_norm tinyMMLU:acc_norm tinyTruthfulQA:acc tinyWinogrande:acc_norm tinyGSM8k:exact_match
"""

GROUPS = {
    "starter": tuple(AskedTask(task.name, task.metric) for task in BUNDLED.values()),
    "if-24": tuple(map(AskedTask.of, _IF_24.split())),
    "fp-vec-17": tuple(map(AskedTask.of, _FP_VEC_17.split())),
    "tinyBenchmarks": tuple(map(AskedTask.of, _TINY.split())),
}
"""Name -> tasks."""


def asked_tasks(names: tuple[str, ...]) -> tuple[AskedTask, ...]:
    """The tasks that the names stand for, each once; a name may list several with commas."""
    single = [name.strip() for text in names for name in text.split(",") if name.strip()]
    return tuple(dict.fromkeys(task for name in single for task in GROUPS.get(name, (AskedTask.of(name),))))
