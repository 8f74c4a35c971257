"""Processes that fill cells side by side, each with a model of its own."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import Connection
from pathlib import Path

import torch

from insignia.embedding import FullFineTune
from insignia.embedding.requirements import free_bytes, needs_of
from insignia.errors import EvaluationError
from insignia.evaluation.cells import Bench, Filled, Job
from insignia.fingerprints.sets import FingerprintSet
from insignia.modeling.devices import resolve_device
from insignia.registry import load_plugin, plugins
from insignia.terminal import quiet_libraries

__all__ = ["side_by_side", "workers_that_fit"]

_bench: Bench | None = None  # of a worker


def workers_that_fit(base: str, prints: FingerprintSet, device: str) -> int:
    """How many workers torch's threads and the free memory allow, if each trains all weights; one where that is unknown."""
    free = free_bytes(device)
    if free is None or resolve_device(device).type != "cpu":
        return 1
    return max(1, min(torch.get_num_threads(), free // needs_of(base, FullFineTune(), prints).memory))


def side_by_side(make_bench: Callable[[], Bench], jobs: Mapping[int, Job], workers: int) -> Generator[tuple[int, Filled]]:
    """Fill the cells by several processes, which share the threads; yields number and result as they come.

    The processes end with this one, however it ends.

    Raises:
        EvaluationError: a process was killed.
    """
    context = multiprocessing.get_context("spawn")  # a fork of a process with threads can hang
    watched, held = context.Pipe(duplex=False)
    setup = (make_bench, max(1, torch.get_num_threads() // workers), plugins(), watched)
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_begin, initargs=setup)
    with watched, pool, held:  # held is closed first: else the pool would wait for cells that nobody wants
        waiting = {pool.submit(_fill, job): number for number, job in jobs.items()}
        try:
            for done in as_completed(waiting):
                yield waiting[done], done.result()
        except BrokenProcessPool:
            raise EvaluationError(
                "a worker was killed, perhaps for want of memory; the cells that were finished are kept."
                " Run it again, with fewer --workers"
            ) from None


def _begin(make_bench: Callable[[], Bench], threads: int, plugin_files: tuple[Path, ...], watched: Connection) -> None:
    """Set up a worker."""
    global _bench  # noqa: PLW0603  a pool's way to keep something in its processes
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all; the parent decides
    threading.Thread(target=_end_with, args=(watched,), daemon=True).start()
    quiet_libraries()
    torch.set_num_threads(threads)
    for file in plugin_files:
        load_plugin(file)
    _bench = make_bench()


def _end_with(watched: Connection) -> None:
    """End this process when the other end of the pipe is closed, by the parent or by its death."""
    try:
        watched.recv()
    except (EOFError, OSError):
        os._exit(1)


def _fill(job: Job) -> Filled:
    if _bench is None:
        raise AssertionError("the worker was not set up")
    return _bench.fill(job)
