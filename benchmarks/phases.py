"""The phases that ``embed`` shows add up to the run, the time left can be believed, and a terminal never stands still.

    python benchmarks/phases.py [FINGERPRINTS]            # 64 take two minutes on two cores
    python benchmarks/phases.py watched [FINGERPRINTS]    # the command in a terminal

For each phase: its seconds, and by how much of it the time left was off at worst from its middle on. Watched: the longest
times without output, in processor seconds of the run, so that a machine may do other things meanwhile.
"""

import contextlib
import os
import pty
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

import insignia
from insignia.progress import SILENT


class Recorder:
    """A progress that keeps (seconds, units done, total) of every report."""

    def __init__(self):
        self.phases = []

    @contextlib.contextmanager
    def bar(self, label, total=None, *, unit=""):
        begun, seen, reports = time.monotonic(), [0, total], []

        def advance(units=1, _remark="", *, total=None):
            seen[0] += units
            seen[1] = seen[1] if total is None else total
            reports.append((time.monotonic() - begun, *seen))

        yield advance
        self.phases.append((label, time.monotonic() - begun, reports))

    def note(self, text):
        pass


def worst_error(seconds, reports):
    late = [(at, done, total) for at, done, total in reports if at >= seconds / 2 and done and total]
    return max((abs(at / done * (total - done) - (seconds - at)) / seconds for at, done, total in late), default=None)


def main(count):
    prints = insignia.generate("starter", num_fingerprints=count, progress=SILENT)
    recorder, begun = Recorder(), time.monotonic()
    insignia.embed("starter", prints, progress=recorder)
    whole = time.monotonic() - begun
    for label, seconds, reports in recorder.phases:
        error = worst_error(seconds, reports)
        print(f"{label:12} {seconds:7.1f} s" + ("" if error is None else f"   time left off by {error:.0%}"))
    print(f"phases {sum(seconds for _, seconds, _ in recorder.phases):.1f} s of {whole:.1f} s")


def watch(count):
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        insignia.generate("starter", num_fingerprints=count, progress=SILENT).save(place / "prints.json")
        ours, theirs = pty.openpty()
        command = [sys.executable, "-m", "insignia", "embed", place / "prints.json", "--model", "starter", "-o", place / "out"]
        run = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=theirs, env={**os.environ, "TERM": "xterm"})
        os.close(theirs)
        process, last, silences = psutil.Process(run.pid), 0.0, []
        with contextlib.suppress(OSError, psutil.Error):  # the terminal is closed with the run
            while os.read(ours, 2**16):
                now = sum(process.cpu_times()[:2])
                silences.append((now - last, last))
                last = now
        assert run.wait() == 0
    for silence, after in sorted(silences, reverse=True)[:5]:
        print(f"{silence:5.2f} s without output, after {after:.1f} of {last:.1f} s")


if __name__ == "__main__":
    watched = sys.argv[1:2] == ["watched"]
    given = sys.argv[1 + watched :]
    (watch if watched else main)(int(given[0]) if given else 64)
