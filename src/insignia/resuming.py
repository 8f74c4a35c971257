"""Checkpoints of a training run: written by time, at a change of phase and when the run is told to stop.

A checkpoint counts once its state file is there, which is written last. So a kill at any moment leaves one that counts.
"""

import contextlib
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

import torch
from transformers import TrainerCallback
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from insignia.errors import StoppedError
from insignia.files import write_json

__all__ = ["STATE_FILE", "Checkpoints", "newest_checkpoint"]

STATE_FILE = "insignia_state.json"
_COST = 20  # checkpoints take at most a twentieth of the time


class _Stateful(Protocol):
    @property
    def phase(self) -> str: ...

    def state(self) -> Mapping[str, Any]: ...


class Checkpoints(TrainerCallback):
    """Decides when Trainer writes a checkpoint, and stops the run after one when a signal asks for it."""

    def __init__(self, task: _Stateful, every_s: float) -> None:
        self._task = task
        self._every_s = every_s
        self._last = time.monotonic()
        self._phase = ""
        self._asked = 0.0
        self._signal: int | None = None

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Ask for a checkpoint if one is due; every process decides alike, since all write their part."""
        now = time.monotonic()
        stop = self._signal is not None
        due = stop or now - self._last >= self._every_s or self._phase not in ("", self._task.phase)
        self._phase = self._task.phase
        if _any_process(due):
            control.should_save = True
            self._asked = now
        if _any_process(stop):
            self._signal = self._signal or signal.SIGTERM
            control.should_training_stop = True

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Mark the checkpoint as whole."""
        now = time.monotonic()
        self._every_s = max(self._every_s, _COST * (now - self._asked))
        self._last = now
        if state.is_world_process_zero:
            folder = Path(args.output_dir) / f"{PREFIX_CHECKPOINT_DIR}-{state.global_step}"
            write_json(folder / STATE_FILE, dict(self._task.state()))

    @contextlib.contextmanager
    def stopping(self) -> Iterator[None]:
        """Within the block, Ctrl-C and SIGTERM end the run after its next step and a checkpoint; a second one ends it at once.

        Raises:
            StoppedError: the run was told to stop.
        """
        if threading.current_thread() is not threading.main_thread():
            yield  # only the main thread may handle signals
            return

        def note(number: int, _frame: FrameType | None) -> None:
            if self._signal is not None:
                raise KeyboardInterrupt
            self._signal = number

        before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        if self._signal is not None:
            raise StoppedError(self._signal)


def newest_checkpoint(work: Path) -> Path | None:
    """The newest checkpoint in the folder that is whole, or None."""
    found = [path.parent for path in work.glob(f"{PREFIX_CHECKPOINT_DIR}-*/{STATE_FILE}")]
    return max(found, key=lambda folder: int(folder.name.rpartition("-")[2]), default=None)


def _any_process(value: bool) -> bool:  # noqa: FBT001  one value, gathered
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return value
    flags: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(flags, value)
    return any(flags)
