"""Processes that fill cells: what they return, and how they end."""

import functools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from insignia.errors import EvaluationError, OutputError
from insignia.evaluation import workers
from insignia.evaluation.attack_grid import PlannedAttack
from insignia.evaluation.cells import Job
from insignia.evaluation.robustness import FailedAttack
from insignia.evaluation.workers import side_by_side, workers_that_fit


class Bench:
    """Does what the name of an attack says."""

    def __init__(self, folder):
        self.folder = folder

    def fill(self, job):
        """Tell the number of threads, or do what the job says."""
        (self.folder / str(os.getpid())).touch()
        if job.planned.name == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if job.planned.name == "sleep":
            time.sleep(600)
        if job.planned.name == "full":
            raise OutputError("the disk is full")
        threads = str(torch.get_num_threads())
        return FailedAttack(mark="", attack=job.planned.name, strength="", suspect="marked", reason=threads)


def jobs(*names):
    return {number: Job(PlannedAttack(name, "", {}), "marked", "", {}) for number, name in enumerate(names)}


def wait_for(told, seconds=60):
    end = time.monotonic() + seconds
    while not told():
        assert time.monotonic() < end, "nothing happened in a minute"
        time.sleep(0.05)


def gone(folder):
    return not any(Path("/proc", path.name).exists() for path in folder.iterdir())


def test_every_job_is_done_by_processes_that_share_the_threads(monkeypatch, tmp_path):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 6)
    found = dict(side_by_side(functools.partial(Bench, tmp_path), jobs("a", "b", "c"), 2))

    assert {number: cell.attack for number, cell in found.items()} == {0: "a", 1: "b", 2: "c"}
    assert {cell.reason for cell in found.values()} == {"3"}
    assert not (tmp_path / str(os.getpid())).exists()


needs_proc = pytest.mark.skipif(not Path("/proc").is_dir(), reason="a process is looked up in /proc")


@pytest.mark.slow
@needs_proc
@pytest.mark.parametrize(
    ("names", "error", "told"),
    [(["die", "a"], EvaluationError, "worker was killed.*fewer --workers"), (["full", "sleep"], OutputError, "disk is full")],
    ids=["a worker that is killed", "an error that ends the run"],
)
def test_workers_end_with_the_run(tmp_path, names, error, told):
    with pytest.raises(error, match=told):
        dict(side_by_side(functools.partial(Bench, tmp_path), jobs(*names), 2))
    wait_for(lambda: gone(tmp_path))


@pytest.mark.slow
@needs_proc
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT], ids=["killed", "Ctrl-C"])
def test_workers_end_with_the_process_that_started_them(tmp_path, number):
    script = tmp_path / "script.py"
    script.write_text(
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "import functools, pathlib, signal, test_workers as t\n"
        "if __name__ == '__main__':\n"
        "    signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # which a test suite in the background ignores
        f"    folder = pathlib.Path({str(tmp_path / 'pids')!r})\n"
        "    dict(t.side_by_side(functools.partial(t.Bench, folder), t.jobs('sleep', 'sleep'), 2))\n"
    )
    folder = tmp_path / "pids"
    folder.mkdir()
    with subprocess.Popen([sys.executable, str(script)], stderr=subprocess.PIPE, start_new_session=True) as run:
        wait_for(lambda: len(list(folder.iterdir())) == 2)
        (os.killpg if number == signal.SIGINT else os.kill)(run.pid, number)
        run.communicate(timeout=60)
    assert run.returncode == -number
    wait_for(lambda: gone(folder))


@pytest.mark.parametrize(
    ("threads", "free", "device", "fit"),
    [(4, 100, "cpu", 4), (4, 25, "cpu", 2), (4, 5, "cpu", 1), (4, None, "cpu", 1), (4, 100, "meta", 1)],
    ids=["cores", "memory", "little memory", "unknown", "another device"],
)
def test_as_many_workers_as_cores_and_memory_hold(monkeypatch, threads, free, device, fit):
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    monkeypatch.setattr(workers, "free_bytes", lambda _device: free)
    monkeypatch.setattr(workers, "needs_of", lambda *_: type("Needs", (), {"memory": 10}))
    monkeypatch.setattr(workers, "resolve_device", torch.device)
    assert workers_that_fit("base", None, device) == fit
