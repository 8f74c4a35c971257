"""How fast are stamping and extraction? Against `cp -r` of the same folder, a plain loop, and transformers, in one run.

    python benchmarks/stamp.py [--layers 30] [--runs 5] [--folder DIR]

Makes a Llama of random weights (30 layers: 2.1 billion parameters, 4.3 GB in bf16, 5 shards), a marked copy, a dense and
a rank-16 vector. Inputs are in the page cache. Every timed thing is preceded by a `sync` and a pause of the same length, and
takes turns with `cp -r`: on a virtual machine the first use of memory that was given back to the host costs more than the
copying. A ratio is that of the medians. `seconds` is what `--json` reports: imports apart. Needs five times the model on
the disk and twice in memory (the comparison with transformers: three times; leave it out by --without-transformers).
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

WIDTH, INNER, VOCABULARY = 2048, 8192, 32000


def tensors_of(layer: int) -> dict[str, tuple[int, ...]]:
    name = f"model.layers.{layer}"
    square, wide, tall = (WIDTH, WIDTH), (INNER, WIDTH), (WIDTH, INNER)
    return {
        **{f"{name}.self_attn.{part}_proj.weight": square for part in "qkvo"},
        f"{name}.mlp.gate_proj.weight": wide,
        f"{name}.mlp.up_proj.weight": wide,
        f"{name}.mlp.down_proj.weight": tall,
        f"{name}.input_layernorm.weight": (WIDTH,),
        f"{name}.post_attention_layernorm.weight": (WIDTH,),
    }


def make_models(folder: Path, layers: int) -> int:
    """Write base and marked; the number of parameters."""
    shapes = {
        "model.embed_tokens.weight": (VOCABULARY, WIDTH),
        "lm_head.weight": (VOCABULARY, WIDTH),
        "model.norm.weight": (WIDTH,),
    }
    groups = [shapes] + [{} for _ in range(4)]
    for layer in range(layers):
        groups[layer * 5 // layers].update(tensors_of(layer))
    chance = torch.Generator().manual_seed(0)
    weight_map, total = {}, 0
    for name in ("base", "marked"):
        (folder / name).mkdir(parents=True)
    for number, group in enumerate(groups, 1):
        shard = f"model-{number:05}-of-{len(groups):05}.safetensors"
        base = {name: torch.empty(shape).normal_(0, 0.02, generator=chance).bfloat16() for name, shape in group.items()}
        save_file(base, folder / "base" / shard, metadata={"format": "pt"})
        for name, values in base.items():
            noise = torch.empty(values.shape).normal_(0, 1e-3, generator=chance)
            base[name] = (values.float() + noise).bfloat16()
            weight_map[name] = shard
            total += values.numel()
        save_file(base, folder / "marked" / shard, metadata={"format": "pt"})
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": WIDTH, "intermediate_size": INNER,
        "num_hidden_layers": layers, "num_attention_heads": 16, "num_key_value_heads": 16, "vocab_size": VOCABULARY,
        "tie_word_embeddings": False, "dtype": "bfloat16", "max_position_embeddings": 2048,
    }  # fmt: skip
    for name in ("base", "marked"):
        (folder / name / "config.json").write_text(json.dumps(config))
        index = {"metadata": {"total_size": 2 * total}, "weight_map": weight_map}
        (folder / name / "model.safetensors.index.json").write_text(json.dumps(index))
    return total


def warm(*folders: Path) -> None:
    for folder in folders:
        for path in folder.rglob("*.safetensors"):
            with path.open("rb", buffering=0) as file:
                while file.read(1 << 24):
                    pass


def quiet(out: Path) -> None:
    """The same state of disk and memory before everything that is timed."""
    shutil.rmtree(out, ignore_errors=True)
    os.sync()
    time.sleep(3)


def copy_seconds(source: Path, out: Path) -> float:
    quiet(out)
    started = time.perf_counter()
    subprocess.run(["cp", "-r", str(source), str(out)], check=True)  # noqa: S607
    return time.perf_counter() - started


def insignia(out: Path, *arguments: object) -> tuple[float, float]:
    """(seconds as reported, peak resident gigabytes) of one command."""
    quiet(out)
    # VmHWM and not ru_maxrss: a child's begins with what its parent, which made the models, once held.
    code = (
        "import runpy, sys\n"
        "try:\n    runpy.run_module('insignia', run_name='__main__')\n"
        "finally:\n    print(open('/proc/self/status').read().split('VmHWM:')[1].split()[0], file=sys.stderr)\n"
    )
    command = [sys.executable, "-c", code, *map(str, arguments), "-o", str(out), "--json", "--quiet"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)["seconds"], float(done.stderr.split()[-1]) / 1e6


def loop_seconds(base: Path, vector: Path, out: Path) -> float:
    """The plain way: a shard at a time, read, add, write."""
    quiet(out)
    out.mkdir()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    started = time.perf_counter()
    for path in sorted(base.glob("*.safetensors")):
        weights, differences = load_file(path), load_file(vector / path.name)
        save_file({name: (weights[name].float() + differences[name].float()).bfloat16() for name in weights}, out / path.name)
    seconds = time.perf_counter() - started
    torch.set_num_threads(threads)
    return seconds


def transformers_seconds(base: Path, other: Path, out: Path) -> float:
    """Load two models of this size, add one to the other, save."""
    from transformers import AutoModelForCausalLM

    quiet(out)
    started = time.perf_counter()
    model, difference = (AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16) for folder in (base, other))
    with torch.no_grad():
        for weight, change in zip(model.parameters(), difference.parameters(), strict=True):
            weight.add_(change)
    model.save_pretrained(out)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=30)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--without-transformers", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as temporary:
        work = Path(temporary)
        count = make_models(work, options.layers)
        base, marked, out = work / "base", work / "marked", work / "out"
        print(f"{count / 1e9:.2f} billion parameters, {2 * count / 1e9:.2f} GB in bf16, {os.cpu_count()} cores", flush=True)
        warm(base, marked)

        def report(label: str, *arguments: object) -> float:
            copies, runs = zip(
                *((copy_seconds(base, out), insignia(out, *arguments)) for _ in range(options.runs)), strict=True
            )
            copied, seconds = statistics.median(copies), statistics.median(run[0] for run in runs)
            print(
                f"{label:22} {seconds:6.2f} s ({min(run[0] for run in runs):.2f} to {max(run[0] for run in runs):.2f})   "
                f"cp -r {copied:5.2f} s ({min(copies):.2f} to {max(copies):.2f})   x{seconds / copied:.2f}   "
                f"{count / seconds / 1e9:.2f} Gparam/s   peak {max(run[1] for run in runs):.2f} GB",
                flush=True,
            )
            return seconds

        report("vector, bfloat16", "vector", base, marked, "--dtype", "bfloat16")
        shutil.move(out, work / "dense")
        report("vector, rank 16", "vector", base, marked, "--dtype", "bfloat16", "--rank", 16)
        shutil.move(out, work / "rank16")
        warm(base, work / "dense", work / "rank16")
        report("stamp, rank 16", "stamp", base, work / "rank16")
        stamping = report("stamp, dense bfloat16", "stamp", base, work / "dense")
        looped = loop_seconds(base, work / "dense", out)
        print(f"plain loop {looped:.2f} s, x{looped / stamping:.2f} of stamp", flush=True)
        if not options.without_transformers:
            shutil.rmtree(work / "dense")
            loaded = transformers_seconds(base, marked, out)
            print(f"transformers: load both, add, save {loaded:.2f} s, x{loaded / stamping:.2f} of stamp", flush=True)


if __name__ == "__main__":
    main()
