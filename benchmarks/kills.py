"""A marking run that is killed at any moment goes on with --resume and repeats at most a minute of work.

Each round starts ``insignia embed`` of the same set, kills it after a random time by SIGKILL, SIGTERM or SIGINT, starts it
again with ``--resume`` and so on until it finishes. It prints when each kill came, the signal, the step of the newest
checkpoint, and the seconds of work that are lost. Takes some 20 minutes: ``python benchmarks/kills.py [KILLS] [SEED]``.
"""

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

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
SECONDS = (3.0, 75.0)  # between a start and its kill: from imports to the last measurement on two cores


def insignia(*arguments, **options):
    return subprocess.Popen([sys.executable, "-m", "insignia", *map(str, arguments)], text=True, **options)


def steps_and_age(work):
    """The step of the newest whole checkpoint, and the seconds since it was written."""
    states = list(work.glob("checkpoint-*/insignia_state.json"))
    if not states:
        return 0, None
    newest = max(states, key=lambda path: int(path.parent.name.rpartition("-")[2]))
    return int(newest.parent.name.rpartition("-")[2]), time.time() - newest.stat().st_mtime


def main(kills, seed):
    rng = random.Random(seed)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        made = insignia("generate", place / "prints.json", "--num-fingerprints", 64, "-q", stdout=subprocess.DEVNULL)
        assert made.wait() == 0
        finished = 0
        while len(rows) < kills:
            out, work, resume = place / f"marked-{finished}", place / f".marked-{finished}.work", []
            while True:
                begun = time.monotonic()
                log = (place / "log").open("w+")
                run = insignia(
                    "embed", place / "prints.json", "--model", "starter", "-o", out, "--json", *resume, stdout=log, stderr=log
                )
                chosen, after = rng.choice(SIGNALS), rng.uniform(*SECONDS)
                if len(rows) < kills:
                    try:
                        run.wait(after)
                    except subprocess.TimeoutExpired:
                        run.send_signal(chosen)
                if run.wait() == 0:
                    text = (place / "log").read_text()
                    report = json.loads(text[text.index("\n{") :])
                    assert report["fsr"] >= 0.98, report["fsr"]
                    print(f"finished: FSR {report['fsr']:.3f}, harm x{report['harm']:.4f}, {report['steps']} steps")
                    break
                step, age = steps_and_age(work)
                lost = time.monotonic() - begun if age is None else age
                told = re.findall(r"stopped; .*", (place / "log").read_text())
                rows.append((after, chosen.name, step, lost))
                came = f"kill {len(rows)}: {chosen.name} after {after:.1f} s"
                print(f"{came}; checkpoint at step {step}; {lost:.1f} s to repeat {told}", flush=True)
                assert not out.exists()
                resume = ["--resume"]
            finished += 1
    print(f"largest: {max(lost for *_, lost in rows):.1f} s over {len(rows)} kills, {os.cpu_count()} cores")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20, int(sys.argv[2]) if len(sys.argv) > 2 else 0)
