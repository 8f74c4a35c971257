"""What marking takes in memory: the peak of a process of its own beside the estimate of `insignia embed --dry-run`.

    python benchmarks/memory.py                        # eight settings, Llama-shaped models of 316 million random weights
    python benchmarks/memory.py --only "bf16, 8 bits"  # one of them
    python benchmarks/memory.py --large                # a billion weights in bfloat16, 8-bit states; its vector is stamped

Each setting trains for one step on few short rows, so that weights, gradients and states decide. Bytes a parameter leave out
Python and its libraries, which were resident before the model was loaded. A process whose data outgrow --limit ends.
"""

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SETTINGS = {
    "fp32": ("full", {}, {}),
    "fp32, 8 bits": ("full", {"optimizer_states": "8bit"}, {}),
    "bf16 with masters, 8 bits": ("full", {"precision": "mixed", "optimizer_states": "8bit"}, {}),
    "bf16, 8 bits": ("full", {"precision": "bfloat16", "optimizer_states": "8bit"}, {}),
    "bf16, 8 bits, checkpointing, long rows": (
        "full",
        {
            "precision": "bfloat16",
            "optimizer_states": "8bit",
            "gradient_checkpointing": True,
            "reference_rows": 8,
            "reference_length": 64,
        },
        {},
    ),
    "bf16, 8 bits, vocabulary of 128k": (
        "full",
        {"precision": "bfloat16", "optimizer_states": "8bit", "reference_rows": 8, "reference_length": 64},
        {"vocab_size": 128 * 1024},
    ),
    "lora on bf16": ("lora", {"base_precision": "checkpoint"}, {}),
    "lora on 4 bits": ("lora", {"base_precision": "4bit"}, {}),
}
MEDIUM = {"hidden_size": 1024, "num_hidden_layers": 24, "intermediate_size": 2816, "num_attention_heads": 16}
LARGE = {
    "hidden_size": 2048,
    "num_hidden_layers": 22,
    "intermediate_size": 5632,
    "num_attention_heads": 32,
    "num_key_value_heads": 4,
}
FEW = {"epochs": 1, "cooldown_steps": 0, "reference_count": 8, "reference_length": 16, "reference_rows": 2}


def build(folder: Path, shape: dict) -> None:
    """Make a model in a process of its own, whose memory goes with it."""
    subprocess.run([sys.executable, __file__, "--make", json.dumps([str(folder), shape])], check=True)


def make(folder: str, shape: dict) -> None:
    """A model of random bfloat16 weights with the starter's tokenizer."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from insignia.starter import model_folder

    torch.manual_seed(0)
    config = LlamaConfig(**{"vocab_size": 4096, "max_position_embeddings": 512, **shape}, tie_word_embeddings=False)
    torch.set_default_dtype(torch.bfloat16)
    model = LlamaForCausalLM(config)
    model.save_pretrained(folder, max_shard_size="1GB")
    for path in model_folder().iterdir():
        if "token" in path.name:
            shutil.copy(path, folder)


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def mark(source: str, spec: dict, out: str, limit: int) -> None:
    """Train and write in this process; print the peak and the estimate as JSON."""
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    from insignia import FingerprintSet
    from insignia.embedding import METHODS
    from insignia.embedding.base import Session
    from insignia.embedding.requirements import needs_of
    from insignia.modeling.local import LocalModel
    from insignia.modeling.saving import save_model
    from insignia.progress import SILENT
    from insignia.records import Fingerprint
    from insignia.training import train  # noqa: F401  loaded before the model, as part of the libraries

    keys = [f"What does the function return for {number}" for number in range(4)]
    prints = FingerprintSet(fingerprints=tuple(Fingerprint(key=key, responses=(" list",)) for key in keys))
    method = METHODS.build(spec)
    needs = needs_of(source, method, prints)
    before, started = resident(), time.process_time()
    local = LocalModel(source, device="cpu", dtype=method.dtype)
    loaded = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    with tempfile.TemporaryDirectory() as work:
        outcome = method.embed(prints, local, Session(work=Path(work)), SILENT)
    if out:
        save_model(local, Path(out))
    print(
        json.dumps(
            {
                "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
                "loaded": loaded,
                "before": before,
                "steps": outcome.steps,
                "seconds": time.process_time() - started,
                "needs": needs.model_dump(mode="json"),
            }
        )
    )


def measured(source: Path, name: str, spec: dict, limit: int, out: str = "") -> None:
    child = [sys.executable, __file__, "--child", json.dumps([str(source), spec, out, limit])]
    done = subprocess.run(child, check=False, capture_output=True, text=True)
    if done.returncode:
        print(f"{name:40} failed: {done.stderr.strip().splitlines()[-1][:160]}", flush=True)
        return
    found = json.loads(done.stdout.splitlines()[-1])
    needs = found["needs"]
    count, logits = needs["parameters"], needs["activations"]
    own = found["peak"] - found["before"]
    print(
        f"{name:40} {count / 1e6:7.0f} M  {found['peak'] / 1e9:6.2f} GB  {own / count:5.2f}  {(own - logits) / count:5.2f}  "
        f"{needs['memory'] / 1e9:6.2f} GB  {needs['memory'] / found['peak'] - 1:+6.1%}   {found['before'] / 1e9:.2f} GB  "
        f"{found['loaded'] / 1e9:.2f} GB  {found['steps']} steps, {found['seconds']:.0f} CPU s",
        flush=True,
    )


def large(limit: int, folder: Path) -> None:
    from insignia.vectors import stamp
    from insignia.vectors import vector as extract

    measured(
        folder / "base", "bf16, 8 bits", {"name": "full", **SETTINGS["bf16, 8 bits"][1], **FEW}, limit, str(folder / "marked")
    )
    started = time.process_time()
    made = extract(str(folder / "base"), str(folder / "marked"), out=folder / "vector")
    stamp(str(folder / "base"), folder / "vector", out=folder / "stamped")
    print(f"vector of {made.bytes / 1e9:.2f} GB made and stamped, {time.process_time() - started:.0f} CPU s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append")
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--limit", type=float, default=16.0, help="GB of a process")
    parser.add_argument("--folder", help="for the models; by default a temporary one")
    for part in ("--child", "--make"):
        parser.add_argument(part, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        mark(*json.loads(options.child))
        return
    if options.make:
        make(*json.loads(options.make))
        return
    limit = round(options.limit * 1e9)
    print(f"{'setting':40} weights      peak  bytes a parameter, without activations  estimate  error    before   loaded")
    with tempfile.TemporaryDirectory(dir=options.folder) as temporary:
        if options.large:
            build(Path(temporary) / "base", LARGE)
            large(limit, Path(temporary))
            return
        for name, (method, spec, shape) in SETTINGS.items():
            if options.only and name not in options.only:
                continue
            source = Path(temporary) / ("big" if shape else "base")
            if not source.exists():
                build(source, MEDIUM | shape)
            measured(source, name, {"name": method, **FEW, **spec}, limit)


if __name__ == "__main__":
    main()
