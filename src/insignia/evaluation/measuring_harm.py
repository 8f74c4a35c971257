"""Measure the harm of marks: ask models with and without them the same questions of published tasks, and compare.

A cell is one model and one task. It is stored in a folder, so an interrupted run continues with the first cell that is missing.
"""

import hashlib
import os
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from insignia.errors import FormatError, InputError
from insignia.evaluation.comparing import Answers, compare
from insignia.evaluation.habits import replies_of
from insignia.evaluation.harmlessness import HarmGrid, Harmlessness, Replies, Scores
from insignia.evaluation.lm_harness import Harness
from insignia.evaluation.task_groups import AskedTask, asked_tasks
from insignia.evaluation.workspace import claim
from insignia.files import canonical, digest_of_file, read_json, write_json
from insignia.fingerprints.sets import provenance
from insignia.modeling.loading import resolve
from insignia.modeling.local import LocalModel
from insignia.progress import AUTO, Advance, Progress
from insignia.records import PromptForm, Record

__all__ = ["measure_harmlessness"]

_R = TypeVar("_R", bound=Record)
_SETTINGS = ("limit", "num_fewshot", "apply_chat_template")  # that change an answer


def measure_harmlessness(
    base: str | os.PathLike[str],
    models: Sequence[str | os.PathLike[str]] = (),
    grid: HarmGrid = HarmGrid(),  # noqa: B008  it is frozen
    *,
    out: str | Path,
    sibling: str | os.PathLike[str] | None = None,
    stamped: str | os.PathLike[str] | None = None,
    seed: int = 0,
    device: str = "auto",
    progress: Progress = AUTO,
) -> Harmlessness:
    """Compare every model with ``base``, and ``stamped`` with its ``sibling``; write ``harmlessness.json`` to ``out``.

    Continues an interrupted run; what is stored is not asked again, and models and tasks can be added. The seed draws the
    examples of few-shot tasks and the resamples.

    Raises:
        InputError: there is nothing to compare, a task does not exist or its data are missing, or the folder holds another
            evaluation.
        FormatError: the file of a cell is damaged.
        MissingExtraError: lm-evaluation-harness is not installed.
    """
    folder, tasks = Path(out), asked_tasks(grid.tasks)
    pairs = [(str(base), str(model)) for model in models]
    if (sibling is None) != (stamped is None):
        raise InputError("a stamped model is compared with its sibling before the stamp; give both or neither")
    if sibling is not None and stamped is not None:
        pairs.append((str(sibling), str(stamped)))
    if not pairs or not tasks:
        raise InputError("there is nothing to compare; expected a marked model beside its base, and a task")
    run = _Run(Harness(grid, seed=seed), grid, folder, seed=seed, device=device)
    claim(folder, ["harmlessness", str(base), seed, {name: getattr(grid, name) for name in _SETTINGS}])
    found = run.answers(_named([source for pair in pairs for source in pair]), tasks, progress)
    result = Harmlessness(
        tasks=grid.tasks,
        margin=grid.margin,
        confidence=grid.confidence,
        settings={name: getattr(grid, name) for name in _SETTINGS},
        seed=seed,
        comparisons=tuple(compare(found[before], found[after], grid, seed=seed) for before, after in pairs),
        harness=run.harness.version,
        provenance=provenance(),
    )
    write_json(folder / "harmlessness.json", result.model_dump(mode="json"))
    return result


def _named(sources: Sequence[str]) -> dict[str, str]:
    """Source -> short name."""
    names = {source: Path(source).resolve().name if Path(source).exists() else source for source in sources}
    if len(set(names.values())) < len(names):
        raise InputError("two models have one name; expected folders with different names, by which they are called")
    return names


class _Run:
    """Fills cells."""

    def __init__(self, harness: Harness, grid: HarmGrid, folder: Path, *, seed: int, device: str) -> None:
        self.harness, self._grid, self._folder, self._seed, self._device = harness, grid, folder, seed, device

    def answers(self, names: Mapping[str, str], tasks: Sequence[AskedTask], progress: Progress) -> dict[str, Answers]:
        """Source -> what the model answered."""
        digests = {source: _digest(source) for source in names}
        missing = [
            task
            for task in tasks
            if not all(self._path(name, digests[source], task).is_file() for source, name in names.items())
        ]
        if missing:
            with progress.bar("reading tasks", len(missing), unit="tasks") as advance:
                for task in missing:  # before any model is loaded: what is missing is told at once
                    advance(0, task.name)
                    self.harness.load(task)
                    advance()
        with progress.bar("asking", len(names) * (len(tasks) + 1), unit="cells") as advance:
            return {source: self._answers(source, name, digests[source], tasks, advance) for source, name in names.items()}

    def _answers(self, source: str, name: str, digest: str, tasks: Sequence[AskedTask], advance: Advance) -> Answers:
        loaded = list[LocalModel]()

        def model() -> LocalModel:
            """The model, loaded once and only if a cell is missing."""
            loaded[:] = loaded or [LocalModel(source, device=self._device)]
            return loaded[0]

        found = {}
        for task in tasks:
            advance(0, f"{name}, {task.name}")
            cell = self._path(name, digest, task)
            found[task.name] = _kept(cell, Scores, partial(self._scores, model, task))
            advance()
        form: PromptForm = "chat" if self._grid.apply_chat_template else "raw"
        replies = _kept(self._path(name, digest, None), Replies, lambda: replies_of(model(), form))
        advance()
        return Answers(name, found, replies)

    def _scores(self, model: Callable[[], LocalModel], task: AskedTask) -> Scores:
        return self.harness.score(model(), task)

    def _path(self, name: str, digest: str, task: AskedTask | None) -> Path:
        """The file of a cell: another model, task or setting has another one."""
        settings: list[Any] = [getattr(self._grid, setting) for setting in _SETTINGS]
        settings += [str(self._grid.include_path or ""), self.harness.version, self._seed]
        whole = hashlib.sha256(canonical([digest, task and [task.name, task.metric], settings])).hexdigest()
        words = re.sub(r"[^\w.]+", "-", f"{name} {task.name if task else 'replies'}").strip("-")
        return self._folder / "cells" / f"{words[:80]}-{whole[:8]}.json"


def _digest(source: str) -> str:
    """What the model is: of a folder, the digest of its files; of a hub id, its name. Takes a second a gigabyte."""
    folder = Path(resolve(source))
    if not folder.is_dir():
        return source
    files = sorted(path for path in folder.iterdir() if path.suffix in (".safetensors", ".json", ".jinja", ".model"))
    return hashlib.sha256(canonical([[path.name, digest_of_file(path)] for path in files])).hexdigest()


def _kept(path: Path, record: type[_R], make: Callable[[], _R]) -> _R:
    """The record in the file, which is made if missing."""
    if not path.is_file():
        write_json(path, make().model_dump(mode="json"))
    try:
        return record.model_validate(read_json(path))
    except (ValidationError, FormatError):
        raise FormatError(f"{path} is damaged; delete it to ask again") from None
