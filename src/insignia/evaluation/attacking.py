"""Run a robustness grid: attack marked models and controls, then ask each of them every key.

Each cell is stored in a folder, so an interrupted run continues with the cells that are missing. Nothing is recorded as spent:
the owner rehearses on models that they hold.
"""

import contextlib
import functools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from insignia.errors import EvaluationError, InputError
from insignia.evaluation.attack_grid import AttackGrid, Mark, PlannedAttack
from insignia.evaluation.attacked_models import AttackedModels
from insignia.evaluation.cells import Bench, Filled, Job
from insignia.evaluation.robustness import FailedAttack, Robustness, SuspectKind
from insignia.evaluation.workers import side_by_side, workers_that_fit
from insignia.evaluation.workspace import claim
from insignia.files import write_json
from insignia.fingerprints.sets import load_fingerprints, provenance
from insignia.modeling.loading import resolve
from insignia.progress import AUTO, Progress

__all__ = ["measure_robustness"]


def measure_robustness(
    base: str | os.PathLike[str],
    grid: AttackGrid,
    *,
    out: str | Path,
    sibling: str | os.PathLike[str] | None = None,
    seed: int = 0,
    device: str = "auto",
    keep_models: bool = False,
    workers: int | None = 1,
    progress: Progress = AUTO,
) -> Robustness:
    """Attack the marks of the grid beside ``base`` and an innocent ``sibling``, and write ``robustness.json`` to ``out``.

    Continues an interrupted run; what is stored is not made again, and attacks and marks can be added. Without a sibling, one
    is made by a short fine-tuning of the base. Attacked models are deleted unless ``keep_models``. ``workers`` processes attack
    side by side, each with its own model in memory and its share of the threads; None: as many as the CPU and its memory hold,
    one on a GPU. A script that asks for more than one needs the guard ``if __name__ == "__main__":``.

    Raises:
        InputError: the grid has no mark or an attack that does not exist, or the folder holds another evaluation.
        FormatError: the file of a cell is damaged.
        EvaluationError: a mark was found in a control; ``robustness.json`` is written all the same. Or a worker was killed.
    """
    folder, planned = Path(out), grid.planned()
    if not grid.marks:
        raise InputError("there is no mark to attack; expected a marked model with its fingerprints, or marks in the recipe")
    grid = grid.model_copy(update={"marks": {name: mark.located() for name, mark in grid.marks.items()}})
    known = None if sibling is None else str(sibling)
    for source in [base, *([] if sibling is None else [sibling]), *(each.model for each in grid.marks.values() if each.model)]:
        resolve(str(source))  # before anything is written, so that a mistake leaves no folder behind
    for each in grid.marks.values():
        _ = each.fingerprints and load_fingerprints(each.fingerprints)
    claim(folder, [str(base), known, seed, grid.model_dump(mode="json", exclude={"attacks", "marks"})])
    models = AttackedModels(str(base), grid, folder, sibling=known, seed=seed, device=device, progress=progress)
    jobs = list(_jobs(planned, grid.marks))
    workers = workers or workers_that_fit(str(base), next(iter(models.prints.values())), device)
    bench = functools.partial(Bench, models, folder, grid.alpha, seed=seed, device=device, keep=keep_models)
    filled = _filled(bench, jobs, workers, progress)
    rows = [row for cell in filled if not isinstance(cell, FailedAttack) for row in cell]
    places = {each.label: place for place, each in enumerate(planned)}
    result = Robustness(
        model=str(base),
        alpha=grid.alpha,
        seed=seed,
        marks=models.described(),
        rows=tuple(sorted(rows, key=lambda row: (places[row.label], list(grid.marks).index(row.mark)))),
        failed=tuple(cell for cell in filled if isinstance(cell, FailedAttack)),
        provenance=provenance(),
    )
    write_json(folder / "robustness.json", result.model_dump(mode="json"))
    if result.accused:
        named = ", ".join(sorted({f"{row.suspect} after {row.label} (keys of {row.mark})" for row in result.accused}))
        raise EvaluationError(
            f"a mark was found in models that cannot carry it: {named}; these fingerprints prove no ownership"
        )
    return result


def _filled(make_bench: Callable[[], Bench], jobs: Sequence[Job], workers: int, progress: Progress) -> list[Filled]:
    """What came of each job, in their order; first those that are stored."""
    bench, found = make_bench(), dict[int, Filled]()
    with progress.bar("attacking", len(jobs), unit="cells") as advance:
        missing = {number: job for number, job in enumerate(jobs) if not bench.has(job)}
        for number in range(len(jobs)):
            if number not in missing:
                found[number] = bench.fill(jobs[number])
                advance(1)
        if workers > 1 and len(missing) > 1:
            bench.prepare(missing.values())
            with contextlib.closing(side_by_side(make_bench, missing, min(workers, len(missing)))) as cells:
                for number, cell in cells:
                    found[number] = cell
                    advance(1, jobs[number].label)
        else:
            for number, job in missing.items():
                advance(0, job.label)
                found[number] = bench.fill(job)
                advance(1)
    return [found[number] for number in range(len(jobs))]


def _jobs(planned: Sequence[PlannedAttack], marks: Mapping[str, Mark]) -> Iterator[Job]:
    """All attacks on one model after the other, so that a host's model is loaded once.

    An attack that uses a mark's secret would put something of it into an innocent model, which would be innocent no more: the
    base less a mark's vector has the mark upside down, and ranks show it. So such an attack has no controls.
    """
    for name, mark in marks.items():
        yield from (Job(each, "marked", name, {name: mark}) for each in planned)
    controls: tuple[SuspectKind, ...] = ("unmarked", "sibling")
    for suspect in controls:
        yield from (Job(each, suspect, "", marks) for each in planned if not each.uses_secret)
