"""Follow a run in the trackers that a team uses, by accelerate: numbers of each step, and of the finished model.

A tracker gets numbers and the name of the method, nothing of the set: no key, no response, no path.
"""

import contextlib
import contextvars
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from accelerate.tracking import LOGGER_TYPE_TO_CLASS

from insignia.errors import InputError, MissingExtraError
from insignia.registry import did_you_mean

__all__ = ["Trackers", "following"]

_PROJECT = "insignia"
# wandb would send the command line, with the names of secret files, and what is printed.
_WITHHELD = {"WANDB_X_DISABLE_META": "true", "WANDB_DISABLE_GIT": "true", "WANDB_DISABLE_CODE": "true", "WANDB_CONSOLE": "off"}


class Trackers:
    """The trackers of one run; none by default. Only the first process of several reports."""

    def __init__(self, started: Sequence[Any] = ()) -> None:
        self._started = started

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Report the numbers of a step."""
        for tracker in self._started:
            tracker.log(dict(values), step=step)


@contextlib.contextmanager
def following(names: Sequence[str], folder: Path, about: Mapping[str, str | int]) -> Iterator[Trackers]:
    """Start the named trackers for a run; those that write files write them to ``folder``.

    Raises:
        InputError: accelerate knows no such tracker.
        MissingExtraError: its package is not installed.
    """
    for name in names:
        if name not in LOGGER_TYPE_TO_CLASS:
            near = did_you_mean(name, LOGGER_TYPE_TO_CLASS)
            raise InputError(f"there is no tracker {name!r}.{near} Expected one of {', '.join(sorted(LOGGER_TYPE_TO_CLASS))}")
    if names:
        os.environ.update(_WITHHELD)
    started = list[Any]()
    with contextlib.redirect_stdout(sys.stderr):  # standard output is for results
        for name in names:
            kind = LOGGER_TYPE_TO_CLASS[name]
            tracker = kind(_PROJECT, folder) if kind.requires_logging_directory else kind(_PROJECT)
            try:
                # In a context of its own: trackio would finish the current run of ours, and print it, when Python ends.
                contextvars.copy_context().run(tracker.start)
            except ImportError:
                raise MissingExtraError(f"the tracker {name}", "track") from None
            started.append(tracker)
            tracker.store_init_configuration(dict(about))
    try:
        yield Trackers(started)
    finally:
        with contextlib.redirect_stdout(sys.stderr):
            for tracker in started:
                tracker.finish()
