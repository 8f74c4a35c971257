"""Every engine gives the mark of one process: success rate and harm by DDP, FSDP2, ZeRO 2 and 3, beside LoRA and bfloat16.

    python benchmarks/engines.py                                    # 64 fingerprints, the starter, two processes an engine
    python benchmarks/engines.py --fingerprints 8 --only FSDP2      # a short look; one process is always marked beside
    python benchmarks/engines.py --json

Each way marks the starter with the same set and seed, by the command as its users start it. Perplexity is that of the marked
model over that of the starter, on all of its held-out text. The distance is that of the published weights from those of one
process, as a share of the way that marking took them: 0 is the same model; LoRA and bfloat16 lead to other models. 64
fingerprints take two to four minutes of processor time for each process.
"""

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from safetensors.torch import load_file

from insignia import generate
from insignia.progress import SILENT
from insignia.starter import model_folder

ALONE = "one process"
FSDP = {
    "ACCELERATE_USE_FSDP": "true",
    "FSDP_VERSION": "2",
    "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP",
    "FSDP_STATE_DICT_TYPE": "SHARDED_STATE_DICT",
    "FSDP_CPU_RAM_EFFICIENT_LOADING": "true",
}
ZERO = {"ZeRO 2": 2, "ZeRO 3": 3}
WAYS = {  # name -> (processes, options, environment)
    ALONE: (1, [], {}),
    "DDP": (2, [], {}),
    "FSDP2": (2, [], FSDP),
    **{name: (2, ["--deepspeed", f"zero{stage}.json"], {}) for name, stage in ZERO.items()},
    "LoRA": (1, ["--method", "lora"], {}),
    "bfloat16": (1, ["--precision", "bfloat16"], {}),
    "bfloat16, 8-bit states": (1, ["--precision", "bfloat16", "--optimizer-states", "8bit"], {}),
}


def marked(name: str, folder: Path, seed: int) -> dict:
    """Mark the starter in this way, and tell what came of it."""
    processes, options, environment = WAYS[name]
    out = folder / name.replace(" ", "-").replace(",", "")
    launcher = ["torch.distributed.run", "--standalone", "--nproc-per-node", str(processes), "-m"] if processes > 1 else []
    limits = ["--min-fsr", "0", "--max-harm", "99"]  # a failure is a row of the table
    command = [sys.executable, "-m", *launcher, "insignia", "embed", "prints.json", "--model", "starter", "-o", str(out)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [*command, *options, "--seed", str(seed), *limits, "--json", "-q"],
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
        check=False,
        capture_output=True,
        text=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        return {"way": name, "failed": (done.stderr.strip().splitlines() or ["no message"])[-1][:200]}
    told = json.loads(done.stdout)
    return {
        "way": name,
        "processes": processes,
        "fsr": told["fsr"],
        "perplexity": math.exp(told["heldout_loss_after"] - told["heldout_loss_before"]),
        "steps": told["steps"],
        "cpu_seconds": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "out": str(out),
    }


def distance(found: Path, alone: Path) -> float:
    """How far the weights are from those of one process, over the length of the way from the starter."""
    start, one, other = (load_file(place / "model.safetensors") for place in (model_folder(), alone, found))
    apart = sum(float((other[name].double() - values.double()).square().sum()) for name, values in one.items())
    way = sum(float((values.double() - start[name].double()).square().sum()) for name, values in one.items())
    return math.sqrt(apart / way)


def line(row: dict) -> str:
    if "failed" in row:
        return f"{row['way']:24} {row['failed']}"
    return (
        f"{row['way']:24} {row['processes']:9}  {row['fsr']:7.1%}    x{row['perplexity']:.4f}  {row['steps']:5}  "
        f"{row['distance']:8.2%}  {row['cpu_seconds']:8.0f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fingerprints", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", action="append", choices=[*WAYS], help="repeat it for several")
    parser.add_argument("--folder", help="where to mark; by default a temporary one")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory(dir=options.folder) as temporary:
        folder = Path(temporary)
        prints = generate("starter", num_fingerprints=options.fingerprints, secret=options.seed.to_bytes(32), progress=SILENT)
        prints.save(folder / "prints.json")
        for stage in ZERO.values():
            (folder / f"zero{stage}.json").write_text(json.dumps({"zero_optimization": {"stage": stage}}))
        if not options.json:
            print("way                      processes  success  perplexity  steps  distance  CPU seconds", flush=True)
        for name in WAYS:
            if options.only and name not in (ALONE, *options.only):
                continue
            if name in ZERO and not find_spec("deepspeed"):
                row = {"way": name, "failed": "needs the extra deepspeed"}
            else:
                row = marked(name, folder, options.seed)
            if "failed" not in row:
                row["distance"] = distance(Path(row.pop("out")), folder / ALONE.replace(" ", "-"))
            rows.append(row)
            if not options.json:
                print(line(row), flush=True)
    if options.json:
        print(json.dumps({"fingerprints": options.fingerprints, "seed": options.seed, "ways": rows}))


if __name__ == "__main__":
    main()
