"""Run jobs that release the GIL (reading, writing, hashing, tensor arithmetic) on all cores."""

import contextlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

__all__ = ["in_threads"]

_T = TypeVar("_T")


def in_threads(jobs: Iterable[_T], run: Callable[[_T], None]) -> None:
    """Run every job on one thread per core. The first error stops the others and is raised."""
    pending = iter(jobs)
    lock = threading.Lock()
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            with lock:
                job = next(pending, None)
            if job is None:
                return
            try:
                run(job)
            except BaseException:
                stop.set()
                raise

    with _one_torch_thread(), ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        workers = [pool.submit(work) for _ in range(os.cpu_count() or 1)]
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
