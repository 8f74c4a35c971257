"""One cell of a robustness grid: one attack on one model, which is then asked every key. A cell is a file."""

import contextlib
import functools
import hashlib
import math
import re
import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from insignia.attacks.base import HostAttack, WeightAttack
from insignia.errors import FormatError, InsigniaError, OutputError
from insignia.evaluation.attack_grid import Mark, PlannedAttack
from insignia.evaluation.attacked_models import AttackedModels
from insignia.evaluation.habits import Habits, heldout_loss, heldout_tokens
from insignia.evaluation.replays import ask, replay, wanted
from insignia.evaluation.robustness import AttackOutcome, FailedAttack, Proof, SuspectKind
from insignia.files import canonical, read_json, write_json
from insignia.fingerprints.sets import FingerprintSet
from insignia.progress import SILENT
from insignia.records import Record
from insignia.suspects.base import Channel, Reply, TextModel
from insignia.verification.interview import channels_of
from insignia.verification.matching import Match, find
from insignia.verification.protocol import asking_order, default_null
from insignia.verification.verdict import SMALLEST_P_VALUE

__all__ = ["Bench", "Filled", "Job"]

Filled = tuple[AttackOutcome, ...] | FailedAttack
"""What came of a job: the rows of its cell, or why there is none."""


class _Cell(Record):
    """The file of a cell."""

    rows: tuple[AttackOutcome, ...]


class Job(NamedTuple):
    """A cell to fill."""

    planned: PlannedAttack
    suspect: SuspectKind
    mark: str
    """Empty for a control, which is one of all marks."""
    asked: Mapping[str, Mark]
    """The marks whose keys are asked."""

    @property
    def label(self) -> str:
        """What is attacked, and how."""
        return f"{self.mark} {self.suspect}, {self.planned.label}".strip()

    @property
    def slug(self) -> str:
        """Name of its file: another attack and other marks have another one."""
        asked = {name: each.model_dump(mode="json") for name, each in self.asked.items()}
        content = [self.planned.label, dict(self.planned.spec), self.suspect, self.mark, asked]
        digest = hashlib.sha256(canonical(content)).hexdigest()
        words = re.sub(r"[^\w.]+", "-", f"{self.mark} {self.suspect} {self.planned.label}").strip("-")
        return f"{words[:80]}-{digest[:8]}"


class Bench:
    """Fills cells, with one model in memory at a time."""

    def __init__(self, models: AttackedModels, folder: Path, alpha: float, *, seed: int, device: str, keep: bool) -> None:
        self._models, self._folder, self._alpha = models, folder, alpha
        self._seed, self._device, self._keep = seed, device, keep
        self._form = next(iter(models.prints.values())).prompt_form  # one for all marks: controls are asked once
        self._before = functools.cache(self._measured)
        self._loaded = functools.lru_cache(maxsize=1)(models.load)

    def has(self, job: Job) -> bool:
        """Whether the cell is stored."""
        return self._path(job).is_file()

    def prepare(self, jobs: Iterable[Job]) -> None:
        """Make what these jobs need beside a model, such as a mark's vector, before several processes would make it."""
        for job in jobs:
            with contextlib.suppress(InsigniaError):  # the cell will tell
                self._models.values(job.mark, job.planned.needs)

    def fill(self, job: Job) -> Filled:
        """The rows of the cell, or the reason why it could not be made.

        Raises:
            OutputError: the disk is full or the folder cannot be written; other cells would not do better.
            FormatError: the cell's file is damaged.
        """
        try:
            return self._cell(job)
        except (OutputError, FormatError):
            raise
        except InsigniaError as error:
            name, strength = job.planned.name, job.planned.strength
            return FailedAttack(mark=job.mark, attack=name, strength=strength, suspect=job.suspect, reason=str(error))

    def _cell(self, job: Job) -> tuple[AttackOutcome, ...]:
        """The rows of the cell from its file, which is made if missing."""
        path = self._path(job)
        if not path.is_file():
            rows = self._rows(job)
            write_json(path, _Cell(rows=rows).model_dump(mode="json"))
        try:
            return _Cell.model_validate(read_json(path)).rows
        except (ValidationError, FormatError):
            raise FormatError(f"{path} is damaged; delete it to attack and ask again") from None

    def _path(self, job: Job) -> Path:
        return self._folder / "cells" / f"{job.slug}.json"

    def _rows(self, job: Job) -> tuple[AttackOutcome, ...]:
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
