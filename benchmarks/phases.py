"""The phases that ``embed`` shows add up to the run, and the time left that they tell can be believed.

    python benchmarks/phases.py [FINGERPRINTS]    # 64 take two minutes on two cores

For each phase: its seconds, and by how much of it the time left was off at worst from its middle on.
"""

import contextlib
import sys
import time

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


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 64)
