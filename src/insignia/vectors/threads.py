"""Run jobs that release the GIL (reading, writing, hashing, tensor arithmetic) on all cores."""

import contextlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

__all__ = ["in_lanes", "in_threads"]

_T = TypeVar("_T")

_MOST = 8  # they are faster than a disk, and each has some 30 MB of buffers


def in_threads(jobs: Iterable[_T], run: Callable[[_T], None], *, remote: bool = False) -> None:
    """Run every job on one thread per core, at most 8. The first error stops the others and is raised.

    ``remote``: the jobs wait for a network, so 8 threads run on any machine.
    """
    in_lanes([jobs], run, remote=remote)


def in_lanes(lanes: Iterable[Iterable[_T]], run: Callable[[_T], None], *, remote: bool = False) -> None:
    """The same for jobs in lanes. A thread stays in its lane, begins a new one at its end, and helps where others are last.

    The jobs of a lane are begun in their order.
    """
    waiting, begun = iter(lanes), list[Iterator[_T]]()
    lock = threading.Lock()
    stop = threading.Event()

    def following(lane: Iterator[_T]) -> tuple[Iterator[_T], _T] | None:
        with lock:
            while True:
                for job in lane:
                    return lane, job
                if lane in begun:
                    begun.remove(lane)
                if (fresh := next(waiting, None)) is not None:
                    lane = iter(fresh)
                    begun.append(lane)
                elif begun:
                    lane = begun[0]
                else:
                    return None

    def work() -> None:
        lane: Iterator[_T] = iter(())
        while not stop.is_set():
            if (found := following(lane)) is None:
                return
            lane, job = found
            try:
                run(job)
            except BaseException:
                stop.set()
                raise

    count = _MOST if remote else min(_MOST, os.cpu_count() or 1)
    with _one_torch_thread(), ThreadPoolExecutor(count) as pool:
        workers = [pool.submit(work) for _ in range(count)]
        try:
            for worker in workers:
                worker.result()
        finally:
            stop.set()  # an interrupt of the main thread stops the others too


@contextlib.contextmanager
def _one_torch_thread() -> Iterator[None]:
    """Limit torch to one thread per job inside the block."""
    kept = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(kept)
