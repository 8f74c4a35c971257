"""A marking run that is killed at any moment goes on with --resume and repeats at most a minute of work.

Each round starts ``insignia embed`` of the same set, kills it at a random moment by SIGKILL, SIGTERM or SIGINT, starts it
again with ``--resume`` and so on until it finishes. It prints when each kill came, the signal, the step of the newest
checkpoint, and how much work is lost. Seconds are processor seconds of the run, so that a machine may do other things
meanwhile. Takes some 20 minutes: ``python benchmarks/kills.py [KILLS] [SEED] [FINGERPRINTS]``.
"""

import contextlib
import itertools
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
SECONDS = (3.0, 75.0)  # of the processor, between a start and its kill: from imports to the last measurement of 64 fingerprints


def insignia(*arguments, **options):
    return subprocess.Popen([sys.executable, "-m", "insignia", *map(str, arguments)], text=True, **options)


def newest_step(work):
    """The step of the newest whole checkpoint; 0 if there is none."""
    return max((int(path.parent.name.rpartition("-")[2]) for path in work.glob("checkpoint-*/insignia_state.json")), default=0)


def kill(run, work, after, chosen):
    """Send the signal at that processor time; returns the newest step and the work since it, or None if the run ended."""
    process, step, saved = psutil.Process(run.pid), newest_step(work), 0.0
    while run.poll() is None:
        with contextlib.suppress(psutil.Error):
            used = sum(process.cpu_times()[:2])
        if (newest := newest_step(work)) != step:
            step, saved = newest, used
        if used >= after:
            run.send_signal(chosen)
            if run.wait() == 0:
                return None
            # A run that was told to stop has written one more.
            return (newest, 0.0) if (newest := newest_step(work)) != step else (step, used - saved)
        time.sleep(0.1)
    return None


def main(kills, seed, count):
    rng = random.Random(seed)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        made = insignia("generate", place / "prints.json", "--num-fingerprints", count, "-q", stdout=subprocess.DEVNULL)
        assert made.wait() == 0
        finished = 0
        while len(rows) < kills:
            out, work, resume = place / f"marked-{finished}", place / f".marked-{finished}.work", []
            while True:
                log = (place / "log").open("w+")
                run = insignia(
                    "embed", place / "prints.json", "--model", "starter", "-o", out, "--json", *resume, stdout=log, stderr=log
                )
                chosen, after = rng.choice(SIGNALS), rng.uniform(*SECONDS)
                killed = kill(run, work, after, chosen) if len(rows) < kills else None
                if killed is None:
                    assert run.wait() == 0, (place / "log").read_text()
                    text = (place / "log").read_text()
                    report = json.loads(text[text.index("\n{") :])
                    assert report["fsr"] >= 0.98, report["fsr"]
                    print(f"finished: FSR {report['fsr']:.3f}, harm x{report['harm']:.4f}, {report['steps']} steps")
                    break
                step, lost = killed
                told = re.findall(r"stopped; .*", (place / "log").read_text())
                rows.append((after, chosen.name, step, lost))
                came = f"kill {len(rows)}: {chosen.name} after {after:.1f} s"
                print(f"{came}; checkpoint at step {step}; {lost:.1f} s to repeat {told}", flush=True)
                assert not out.exists()
                resume = ["--resume"]
            finished += 1
    print(f"largest: {max(lost for *_, lost in rows):.1f} s over {len(rows)} kills, {os.cpu_count()} cores")


if __name__ == "__main__":
    main(*(int(given) if given else usual for given, usual in itertools.zip_longest(sys.argv[1:], (20, 0, 64))))
