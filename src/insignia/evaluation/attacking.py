"""Run a robustness grid: attack marked models and controls, then ask each of them every key.

A cell is one attack on one model. It is stored in a folder, so an interrupted run continues with the first cell that is
missing. Nothing is recorded as spent: the owner rehearses on models that they hold.
"""

import functools
import hashlib
import math
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from insignia.attacks.base import HostAttack, WeightAttack
from insignia.errors import EvaluationError, FormatError, InputError, InsigniaError, OutputError
from insignia.evaluation.attack_grid import AttackGrid, Mark, PlannedAttack
from insignia.evaluation.attacked_models import AttackedModels
from insignia.evaluation.habits import Habits, heldout_loss, heldout_tokens
from insignia.evaluation.replays import ask, replay, wanted
from insignia.evaluation.robustness import AttackOutcome, FailedAttack, Proof, Robustness, SuspectKind
from insignia.evaluation.workspace import claim
from insignia.files import canonical, read_json, write_json
from insignia.fingerprints.sets import FingerprintSet, load_fingerprints, provenance
from insignia.modeling.loading import resolve
from insignia.progress import AUTO, SILENT, Progress
from insignia.records import Record
from insignia.suspects.base import Channel, Reply, TextModel
from insignia.verification.interview import channels_of
from insignia.verification.matching import Match, find
from insignia.verification.protocol import asking_order, default_null
from insignia.verification.verdict import SMALLEST_P_VALUE

__all__ = ["measure_robustness"]


class _Cell(Record):
    """The file of a cell."""

    rows: tuple[AttackOutcome, ...]


class _Job(NamedTuple):
    """A cell to fill."""

    planned: PlannedAttack
    suspect: SuspectKind
    mark: str
    """Empty for a control, which is one of all marks."""
    asked: Mapping[str, Mark]
    """The marks whose keys are asked."""

    @property
    def slug(self) -> str:
        """Name of its file: another attack and other marks have another one."""
        asked = {name: each.model_dump(mode="json") for name, each in self.asked.items()}
        content = [self.planned.label, dict(self.planned.spec), self.suspect, self.mark, asked]
        digest = hashlib.sha256(canonical(content)).hexdigest()
        words = re.sub(r"[^\w.]+", "-", f"{self.mark} {self.suspect} {self.planned.label}").strip("-")
        return f"{words[:80]}-{digest[:8]}"


def measure_robustness(
    base: str | os.PathLike[str],
    grid: AttackGrid,
    *,
    out: str | Path,
    sibling: str | os.PathLike[str] | None = None,
    seed: int = 0,
    device: str = "auto",
    keep_models: bool = False,
    progress: Progress = AUTO,
) -> Robustness:
    """Attack the marks of the grid beside ``base`` and an innocent ``sibling``, and write ``robustness.json`` to ``out``.

    Continues an interrupted run; what is stored is not made again, and attacks and marks can be added. Without a sibling, one
    is made by a short fine-tuning of the base. Attacked models are deleted unless ``keep_models``.

    Raises:
        InputError: the grid has no mark or an attack that does not exist, or the folder holds another evaluation.
        FormatError: the file of a cell is damaged.
        EvaluationError: a mark was found in a control; ``robustness.json`` is written all the same.
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
    run = _Run(models, folder, grid.alpha, seed=seed, device=device, keep=keep_models)
    rows, failed = _all_cells(run, list(_jobs(planned, grid.marks)), progress)
    places = {each.label: place for place, each in enumerate(planned)}
    result = Robustness(
        model=str(base),
        alpha=grid.alpha,
        seed=seed,
        marks=models.described(),
        rows=tuple(sorted(rows, key=lambda row: (places[row.label], list(grid.marks).index(row.mark)))),
        failed=failed,
        provenance=provenance(),
    )
    write_json(folder / "robustness.json", result.model_dump(mode="json"))
    if result.accused:
        named = ", ".join(sorted({f"{row.suspect} after {row.label} (keys of {row.mark})" for row in result.accused}))
        raise EvaluationError(
            f"a mark was found in models that cannot carry it: {named}; these fingerprints prove no ownership"
        )
    return result


def _all_cells(run: "_Run", jobs: Sequence[_Job], progress: Progress) -> tuple[list[AttackOutcome], tuple[FailedAttack, ...]]:
    """The rows of all cells, and the attacks that could not be made."""
    rows, failed = list[AttackOutcome](), list[FailedAttack]()
    with progress.bar("attacking", len(jobs), unit="cells") as advance:
        for job in jobs:
            name, strength = job.planned.name, job.planned.strength
            advance(0, f"{job.mark} {job.suspect}, {job.planned.label}".strip())
            try:
                rows += run.cell(job)
            except (OutputError, FormatError):  # the disk is full or a file is damaged: other cells would not do better
                raise
            except InsigniaError as error:
                failed.append(
                    FailedAttack(mark=job.mark, attack=name, strength=strength, suspect=job.suspect, reason=str(error))
                )
            advance(1)
    return rows, tuple(failed)


def _jobs(planned: Sequence[PlannedAttack], marks: Mapping[str, Mark]) -> Iterator[_Job]:
    """All attacks on one model after the other, so that a host's model is loaded once.

    An attack that uses a mark's secret would put something of it into an innocent model, which would be innocent no more: the
    base less a mark's vector has the mark upside down, and ranks show it. So such an attack has no controls.
    """
    for name, mark in marks.items():
        yield from (_Job(each, "marked", name, {name: mark}) for each in planned)
    controls: tuple[SuspectKind, ...] = ("unmarked", "sibling")
    for suspect in controls:
        yield from (_Job(each, suspect, "", marks) for each in planned if not each.uses_secret)


class _Run:
    """Fills cells."""

    def __init__(self, models: AttackedModels, folder: Path, alpha: float, *, seed: int, device: str, keep: bool) -> None:
        self._models, self._folder, self._alpha = models, folder, alpha
        self._seed, self._device, self._keep = seed, device, keep
        self._form = next(iter(models.prints.values())).prompt_form  # one for all marks: controls are asked once
        self._before = functools.cache(self._measured)
        self._loaded = functools.lru_cache(maxsize=1)(models.load)

    def cell(self, job: _Job) -> tuple[AttackOutcome, ...]:
        """The rows of the cell from its file, which is made if missing."""
        path = self._folder / "cells" / f"{job.slug}.json"
        if not path.is_file():
            rows = self._rows(job)
            write_json(path, _Cell(rows=rows).model_dump(mode="json"))
        try:
            return _Cell.model_validate(read_json(path)).rows
        except (ValidationError, FormatError):
            raise FormatError(f"{path} is damaged; delete it to attack and ask again") from None

    def _rows(self, job: _Job) -> tuple[AttackOutcome, ...]:
        planned, source = job.planned, self._models.source(job.suspect, job.mark)
        before, loss_before, tokens_before = self._before(source)
        scratch = self._folder / "attacked" / job.slug
        attack = planned.build(self._models.values(job.mark, planned.needs)) if planned.spec else None
        started = time.perf_counter()
        try:
            if isinstance(attack, WeightAttack):
                self._loaded.cache_clear()  # one model in memory
                attack.apply(source, scratch, seed=self._seed, device=self._device, progress=SILENT)
            local = self._loaded(scratch if scratch.exists() else source)
            model = attack.wrap(local) if isinstance(attack, HostAttack) else local
            seconds = round(time.perf_counter() - started, 3)
            habits = Habits.of(model, self._form) if attack else before
            # A trimmed vocabulary spells the text in more tokens; the loss is told by token of the model before.
            longer = heldout_tokens(local) / tokens_before
            loss = heldout_loss(local) * longer if planned.on == "weights" else loss_before
            asked = {name: self._asked(model, self._models.prints[name]) for name in job.asked}
        finally:
            if not self._keep:
                shutil.rmtree(scratch, ignore_errors=True)
        return tuple(
            AttackOutcome(
                mark=name,
                attack=planned.name,
                strength=planned.strength,
                on=planned.on,
                spec=dict(planned.spec),
                suspect=job.suspect,
                fsr=hits / answered if answered else 0.0,
                hits=hits,
                answered=answered,
                by_channel=by_channel,
                perplexity=None if planned.on == "host" else math.exp(loss - loss_before),
                changed=habits.changed_since(before),
                reply_length=habits.length_since(before),
                seconds=seconds,
            )
            for name, (hits, answered, by_channel) in asked.items()
        )

    def _measured(self, source: str) -> tuple[Habits, float, int]:
        """What a model does with ordinary text before any attack: its replies, its loss, and the tokens of the text."""
        model = self._loaded(source)
        return Habits.of(model, self._form), heldout_loss(model), heldout_tokens(model)

    def _asked(self, model: TextModel, prints: FingerprintSet) -> tuple[int, int, dict[Channel, Proof]]:
        """Hits and answers in text, and the tests by all channels."""
        judged = default_null(prints) is not None
        searches = wanted(prints)
        order = [number for number in asking_order(prints) if number in searches]
        replies = ask(model, prints, channels_of(model) if judged else ("text",))
        text = {number: replies["text"][number] for number in order if replies["text"][number].status == "answered"}
        hits = sum(find(reply.text, searches[number], Match()).hit for number, reply in text.items())
        return hits, len(text), {
            channel: self._proof(prints, channel, found, order) for channel, found in replies.items() if judged
        }  # fmt: skip

    def _proof(self, prints: FingerprintSet, channel: Channel, replies: Sequence[Reply], order: Sequence[int]) -> Proof:
        found = replay(prints, wanted(prints), channel, replies, order, alpha=self._alpha)
        return Proof(
            outcome=found.outcome,
            keys=found.asked,
            p_value=max(SMALLEST_P_VALUE, math.exp(found.log_p)),
            p_value_of_all=max(SMALLEST_P_VALUE, math.exp(found.log_p_of_all)),
        )
