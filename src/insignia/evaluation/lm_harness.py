"""lm-evaluation-harness: its tasks, and what a model scores on their questions. No other module knows the library."""

import contextlib
import functools
import logging
import warnings
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from insignia.errors import InputError, MissingExtraError
from insignia.evaluation.bundled_tasks import BUNDLED, BundledTask
from insignia.evaluation.harmlessness import HarmGrid, Scores
from insignia.evaluation.task_groups import AskedTask
from insignia.modeling.local import LocalModel
from insignia.registry import did_you_mean

if TYPE_CHECKING:
    from lm_eval.tasks import TaskManager

__all__ = ["Harness"]

_PREFERRED = ("acc_norm", "acc", "exact_match", "em", "f1", "mcc")
_DIGITS = 16  # of a question's digest


class Harness:
    """The library with the settings of one evaluation."""

    def __init__(self, grid: HarmGrid, *, seed: int) -> None:
        if find_spec("lm_eval") is None:
            raise MissingExtraError("asking published tasks", "eval")
        if grid.include_path is not None and not grid.include_path.is_dir():
            raise InputError(f"there is no folder {grid.include_path}; expected one with tasks as YAML files")
        self._grid, self._seed = grid, seed
        self.version = version("lm_eval")
        self.load = functools.cache(self._load)

    def _load(self, asked: AskedTask) -> Mapping[str, Any]:
        """The task and its data, or all tasks of a group, by name.

        Raises:
            InputError: there is no such task, or its data are not here and cannot be downloaded.
        """
        known = self._tasks(defaults=False)
        spec: Any = asked.name
        if spec not in known.all_tasks and spec in BUNDLED:
            spec = _described(BUNDLED[spec])
        elif spec not in known.all_tasks:
            known = self._tasks(defaults=True)
            if spec not in known.all_tasks:
                near = did_you_mean(spec, known.all_tasks)
                raise InputError(f"lm-evaluation-harness has no task {spec!r}.{near} 'lm-eval ls tasks' lists them")
        with _quiet(), _told(f"task {asked.name} cannot be loaded"):
            tasks: dict[str, Any] = known.load([spec])["tasks"]
            for task in tasks.values():
                if self._grid.num_fewshot is not None and task.get_config("num_fewshot") != 0:
                    task.set_config(key="num_fewshot", value=self._grid.num_fewshot)
                elif task.get_config("num_fewshot") is None:
                    task.set_config(key="num_fewshot", value=0)
                task.set_fewshot_seed(seed=self._seed)
            return tasks

    def score(self, model: LocalModel, asked: AskedTask) -> Scores:
        """Ask the model all questions of a task, or of all tasks of a group.

        Raises:
            InputError: the task has no such metric, or none with a score for each question.
        """
        from lm_eval.evaluator import evaluate  # noqa: PLC0415  optional, and slow to load
        from lm_eval.models.huggingface import HFLM  # noqa: PLC0415

        tasks, chat = self.load(asked), self._grid.apply_chat_template
        with _quiet(), _told(f"task {asked.name} cannot be asked"):
            length = {} if model.context_length is None else {"max_length": model.context_length}
            asker = HFLM(pretrained=model.model, tokenizer=model.tokenizer, batch_size=self._grid.batch_size, **length)
            found = evaluate(
                lm=asker,
                task_dict={"tasks": tasks},
                limit=self._grid.limit,
                bootstrap_iters=0,
                apply_chat_template=chat,
                fewshot_as_multiturn=chat,
            )
        return _scores(asked, tasks, found)

    @functools.cache  # noqa: B019  lives as long as the evaluation
    def _tasks(self, *, defaults: bool) -> "TaskManager":
        """The index of tasks; that of the library's own 14,000 takes seconds to read."""
        from lm_eval.tasks import TaskManager  # noqa: PLC0415  as above

        with _quiet():
            return TaskManager(include_path=self._grid.include_path, include_defaults=defaults)


def _scores(asked: AskedTask, tasks: Mapping[str, Any], found: Mapping[str, Any]) -> Scores:
    questions, scores = list[str](), list[float]()
    metric = asked.metric or _metric(asked.name, next(iter(tasks.values())).aggregation())
    for name in tasks:
        samples = found["samples"][name]
        for sample in samples:
            if sample["filter"] == samples[0]["filter"]:  # the first of several ways to read a reply
                questions.append(sample["doc_hash"][:_DIGITS])
                scores.append(_score(sample, metric, name))
    told = [value for key, value in found["results"][next(iter(tasks))].items() if key.partition(",")[0] == metric]
    mean = sum(scores) / len(scores)
    reported = float(told[0]) if len(tasks) == 1 and told and abs(told[0] - mean) > 1e-6 else None
    return Scores(task=asked.name, metric=metric, questions=tuple(questions), scores=tuple(scores), reported=reported)


def _metric(task: str, known: Mapping[str, Any]) -> str:
    """The metric that is taken where nobody chose one."""
    metric = next((name for name in _PREFERRED if name in known), None)
    if metric is None:
        names = ", ".join(known)
        raise InputError(f"task {task} has no usual score; name one of its metrics, as {task}:METRIC. It has {names}")
    return metric


def _score(sample: Mapping[str, Any], metric: str, task: str) -> float:
    """The score of a question: a number from 0 to 1, or whether the pair of right and given answer is equal."""
    value = sample.get(metric)
    if isinstance(value, tuple | list) and len(value) == 2:
        return float(value[0] == value[1])
    try:
        score = float(value)  # type: ignore[arg-type]  # what else it may be is what is asked
    except (TypeError, ValueError):
        score = -1.0
    if not 0 <= score <= 1:
        names = ", ".join(sample["metrics"])
        raise InputError(f"{metric!r} of task {task} is no score from 0 to 1; name another, as {task}:METRIC. It has {names}")
    return score


def _described(task: BundledTask) -> dict[str, Any]:
    """A bundled task as the library takes one."""
    import datasets  # noqa: PLC0415  comes with lm_eval

    chosen: dict[str, Any] = {"doc_to_choice": lambda row: row["choices"]} if task.multiple_choice else {}
    return {
        "task": task.name,
        "custom_dataset": lambda **_: {"test": datasets.Dataset.from_list(task.rows())},
        "test_split": "test",
        "output_type": "multiple_choice" if task.multiple_choice else "loglikelihood",
        "doc_to_text": lambda row: row["question"],
        "doc_to_target": lambda row: row["answer"],
        **chosen,
        "target_delimiter": "",
        "metric_list": [{"metric": task.metric, "aggregation": "mean", "higher_is_better": True}],
    }


@contextlib.contextmanager
def _told(what: str) -> Iterator[None]:
    """Turn the library's errors into one line."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise InputError(f"{what}: it needs the Python package {error.name or str(error).split()[0]}; install it") from None
    except ConnectionError as error:
        raise InputError(
            f"{what}: {_first_line(error)}. Its data are not in the local cache either; go online once, or name other tasks"
        ) from None
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{what}: {_first_line(error)}") from None


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the library's bars and advice off the screen; a second ``tqdm`` in a terminal would break the first."""
    import tqdm  # noqa: PLC0415  comes with lm_eval

    logger, begin = logging.getLogger("lm_eval"), tqdm.tqdm.__init__
    level = logger.level

    def hidden(self: Any, *args: Any, **options: Any) -> None:
        begin(self, *args, **{**options, "disable": True})

    logger.setLevel(logging.CRITICAL)
    tqdm.tqdm.__init__ = hidden
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="sklearn")  # of a class that nobody predicted
            yield
    finally:
        tqdm.tqdm.__init__ = begin
        logger.setLevel(level)
