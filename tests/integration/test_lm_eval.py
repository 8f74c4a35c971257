"""lm-evaluation-harness itself: the bundled tasks on the starter, and the published tasks' definitions. No data are fetched."""

from pathlib import Path

import pytest
import yaml

pytest.importorskip("lm_eval", reason="the extra 'eval' is not installed; run make test-eval")

import datasets
import lm_eval
from lm_eval.tasks._index import Kind, TaskIndex

from insignia.attacks.base import ATTACKS
from insignia.errors import InputError
from insignia.evaluation import HarmGrid, Harmlessness
from insignia.evaluation.lm_harness import Harness
from insignia.evaluation.task_groups import GROUPS, AskedTask
from insignia.modeling.local import LocalModel

TASKS = Path(lm_eval.__file__).parent / "tasks"
FOLDERS = """
    anli arc glue headqa hellaswag lambada logiqa mmlu openbookqa piqa sciq super_glue tinyBenchmarks winogrande
""".split()


@pytest.fixture(scope="module")
def starter():
    return LocalModel("starter", device="cpu")


@pytest.fixture(scope="module")
def index():
    return TaskIndex.build([TASKS / folder for folder in FOLDERS])


@pytest.mark.parametrize("group", ["if-24", "fp-vec-17", "tinyBenchmarks"])
def test_published_groups_name_tasks_and_metrics_that_exist(index, group):
    for asked in GROUPS[group]:
        entry = index[asked.name]
        leaves = [index[name] for name in entry.tags] if entry.kind is Kind.TAG else [entry]
        for leaf in leaves:
            metrics = leaf.cfg.get("metric_list") or leaf.cfg["aggregate_metric_list"]  # a group of tasks has the second
            assert asked.metric in {metric["metric"] for metric in metrics}, asked


def test_the_whole_path_on_the_starter(insignia, tmp_path, monkeypatch, heldout):
    monkeypatch.setattr("insignia.evaluation.habits.heldout_paragraphs", lambda: heldout[:4])
    monkeypatch.chdir(tmp_path)
    for name, spread in (("near", 1e-4), ("broken", 3.0)):
        ATTACKS.build({"name": "noise", "spread": spread}).apply("starter", tmp_path / name, device="cpu")
    command = ["evaluate", "harmlessness", "--base", "starter", "--device", "cpu", "--limit", "40", "-o", "out"]
    status, out, _ = insignia(*command, "--model", "near", "--margin", "0.1", "--json", "-q")
    near = Harmlessness.model_validate_json(out)
    assert (status, near.finding, near.comparisons[0].change) == (0, "harmless", 0)
    status, out, err = insignia(*command, "--model", "near", "--model", "broken", "--json")
    (same, broken) = Harmlessness.model_validate_json(out).comparisons
    assert (status, same.finding, broken.finding) == (3, "undecided", "harmful")
    assert 0.5 < broken.tasks[1].before <= 1  # chance is a quarter
    assert broken.tasks[1].after < 0.5
    assert "lm_eval" not in err
    assert "%|" not in err  # no bar of the library


def test_answers_do_not_depend_on_the_batch(starter):
    task = AskedTask("starter_ending", "acc_norm")
    few, many = (Harness(HarmGrid(limit=12, batch_size=size), seed=0).score(starter, task) for size in (1, 8))
    assert few == many


def test_an_own_folder_of_tasks(starter, tmp_path):
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"q": "The function returns the number of", "a": " items"}\n' * 3)
    task = {
        "task": "own",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(rows)}, "cache_dir": str(tmp_path / "cache")},
        "test_split": "test",
        "output_type": "loglikelihood",
        "doc_to_text": "q",
        "doc_to_target": "a",
        "target_delimiter": "",
        "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
    }
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(task))
    harness = Harness(HarmGrid(include_path=tmp_path), seed=0)
    found = harness.score(starter, AskedTask("own"))
    assert (found.metric, len(found.scores)) == ("acc", 3)
    with pytest.raises(InputError, match="'perplexity' of task own is no score from 0 to 1"):
        harness.score(starter, AskedTask("own", "perplexity"))


def test_a_published_task_with_a_metric_of_the_whole_set(starter, monkeypatch):
    row = {"premise": "It rains.", "hypothesis": "It is wet.", "idx": 0, "label": 0}
    rows = datasets.Dataset.from_list([row, row | {"label": 1, "hypothesis": "It is dry."}] * 3)
    monkeypatch.setattr("lm_eval.api.task.datasets.load_dataset", lambda **_: {"train": rows, "validation": rows})
    found = Harness(HarmGrid(include_path=TASKS / "super_glue" / "cb"), seed=0).score(starter, AskedTask("cb", "f1"))
    assert found.scores in [(0.0,) * 6, (1.0, 0.0) * 3, (0.0, 1.0) * 3]
    assert found.reported is not None
    assert found.reported < 0.5


def test_data_that_are_nowhere_are_told_in_one_line():
    harness = Harness(HarmGrid(include_path=TASKS / "sciq"), seed=0)
    with pytest.raises(
        InputError, match=r"task sciq cannot be loaded: .*allenai/sciq.* go online once, or name other tasks"
    ) as told:
        harness.load(AskedTask("sciq"))
    assert "\n" not in str(told.value)
