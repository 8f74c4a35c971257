"""What an 8B model costs on one GPU: memory, seconds and utilisation of embed, check, vector and stamp.

    python benchmarks/gpu.py --folder /data/scratch                # a GPU with 80 GB or more, 100 GB of disk
    python benchmarks/gpu.py --folder /data/scratch --method '{"name": "lora", "base_precision": "4bit"}'
    python benchmarks/gpu.py --tiny                                # in miniature on any CPU; its numbers mean nothing

The model has the shape of Llama 3.1 8B, random bf16 weights and the starter's tokenizer, and is made here without a download.
Random weights say nothing about success or harm, so neither is measured and training stops after ``--epochs`` passes. FLOPs
are 6 a parameter and token of a training pass and 2 of any other (attention left out); utilisation is their share of the
device's dense bf16 peak. ``--method`` is a method with its fields as JSON; repeat it for several.
"""

import argparse
import contextlib
import json
import resource
import shutil
import tempfile
import time
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from insignia.embedding import METHODS, Limits, RunOptions, embed
from insignia.generation import STRATEGIES, generate
from insignia.modeling.local import LocalModel
from insignia.progress import SILENT
from insignia.starter import model_folder
from insignia.vectors import stamp
from insignia.vectors import vector as extract
from insignia.verification import check

PEAK_TFLOPS = {"H200": 989, "H100": 989, "A100": 312, "L40S": 362, "RTX 4090": 165}  # dense bf16, by the makers' data sheets
METHOD = [{"name": "lora", "base_precision": "checkpoint"}, {"name": "lora", "base_precision": "4bit"}, {"name": "full"}]
LLAMA_8B = {
    "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32,
    "num_key_value_heads": 8, "vocab_size": 128256, "rope_theta": 500000.0,
}  # fmt: skip
TINY = {"hidden_size": 64, "intermediate_size": 160, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}


def make_model(folder: Path, *, tiny: bool, device: str) -> int:
    """Write the model; return its number of parameters."""
    starter = model_folder()
    known = json.loads((starter / "config.json").read_text())
    ends = {name: known[name] for name in ("bos_token_id", "eos_token_id", "pad_token_id") if name in known}
    shape = TINY | {"vocab_size": known["vocab_size"]} if tiny else LLAMA_8B
    torch.manual_seed(0)
    with torch.device(device):
        config = LlamaConfig(**shape, **ends, max_position_embeddings=2048)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.save_pretrained(folder, max_shard_size="5GB")
    for file in starter.glob("tokenizer*"):
        shutil.copy(file, folder)
    return sum(weights.numel() for weights in model.parameters())


@contextlib.contextmanager
def counted_tokens():
    """Count the tokens that go through the model, in training passes and in others."""
    found = {"trained": 0, "other": 0}

    original = LlamaForCausalLM.forward

    def forward(self, *given, **named):
        ids = named.get("input_ids", given[0] if given else None)
        found["trained" if torch.is_grad_enabled() else "other"] += 0 if ids is None else ids.numel()
        return original(self, *given, **named)

    LlamaForCausalLM.forward = forward
    try:
        yield found
    finally:
        LlamaForCausalLM.forward = original


def peak(device: str) -> str:
    if device == "cpu":  # the process so far, imports included
        return f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB of the host at most so far"
    return f"peak {torch.cuda.max_memory_allocated() / 2**30:.2f} GiB of the device"


@contextlib.contextmanager
def measured(what: str, device: str):
    """Print seconds and the peak of memory of what happens inside; yield where to add more."""
    more: list[str] = []
    if device != "cpu":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    started = time.perf_counter()
    yield more, lambda: time.perf_counter() - started
    if device != "cpu":
        torch.cuda.synchronize()
    print(f"{what}: {time.perf_counter() - started:.1f} s, {peak(device)}{''.join(more)}", flush=True)


def embedding(base, prints, method, out, *, parameters, options):
    with counted_tokens() as tokens, measured(f"embed {json.dumps(method)}, {len(prints)}", options.device) as (more, elapsed):
        built = METHODS.build(method | {"epochs": options.epochs, "cooldown_steps": options.cooldown_steps})
        limits = Limits(min_fsr=0.0, max_harm=1e9)
        report = embed(
            base, prints, built, out=out, limits=limits, run=RunOptions(device=options.device), progress=SILENT
        ).report
        if options.device != "cpu":
            torch.cuda.synchronize()
        flops = parameters * (6 * tokens["trained"] + 2 * tokens["other"])
        rate = sum(tokens.values()) / elapsed()
        more.append(f", {report.steps} steps, {rate:,.0f} tokens/s, {flops / elapsed() / 1e12:.3g} TFLOP/s")
        if options.peak_tflops:
            more.append(f", utilisation {flops / elapsed() / options.peak_tflops / 1e12:.1%}")


def checking(folder, prints, *, options):
    """``check`` against ``model.generate`` of the same keys in batches."""
    local = LocalModel(folder, device=options.device)
    with measured(f"check, {len(prints)}", options.device) as (more, elapsed):
        check(local, prints)
        more.append(f", {len(prints) / elapsed():.1f} fingerprints/s")
    keys = [fingerprint.key for fingerprint in prints]
    local.tokenizer.padding_side = "left"
    local.tokenizer.pad_token = local.tokenizer.pad_token or local.tokenizer.eos_token
    with measured(f"model.generate, {len(prints)}", options.device) as (more, elapsed), torch.no_grad():
        for first in range(0, len(keys), 32):
            batch = local.tokenizer(keys[first : first + 32], return_tensors="pt", padding=True).to(local.model.device)
            batch.pop("token_type_ids", None)
            local.model.generate(**batch, max_new_tokens=prints.max_response_length, do_sample=False)
        more.append(f", {len(prints) / elapsed():.1f} fingerprints/s")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--method", type=json.loads, action="append")
    parser.add_argument("--sizes", type=int, nargs="+")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--cooldown-steps", type=int, default=20)
    parser.add_argument("--peak-tflops", type=float)
    options = parser.parse_args()
    options.device = "cuda" if torch.cuda.is_available() else "cpu"
    if options.device == "cpu" and not options.tiny:
        parser.error("there is no CUDA device; --tiny runs the same in miniature on a CPU")
    name = torch.cuda.get_device_name() if options.device == "cuda" else "CPU"
    options.peak_tflops = options.peak_tflops or next((peak for known, peak in PEAK_TFLOPS.items() if known in name), None)
    if options.tiny:
        options.epochs, options.cooldown_steps = min(options.epochs, 2), min(options.cooldown_steps, 2)
    with tempfile.TemporaryDirectory(dir=options.folder) as scratch:
        work = Path(scratch)
        base = work / "base"
        parameters = make_model(base, tiny=options.tiny, device=options.device)
        print(f"{name}, torch {torch.__version__}; {parameters / 1e9:.3g} billion parameters", flush=True)
        for size in options.sizes or ([4] if options.tiny else [64, 1024]):
            # English keys need no model; responses at random, which no model gives by itself.
            prints = generate(
                base, STRATEGIES.build({"name": "english_random_response"}), num_fingerprints=size, secret=bytes(32)
            )
            for number, method in enumerate(options.method or METHOD[: 1 if options.tiny else None]):
                out = work / f"marked-{number}"
                embedding(base, prints, method, out, parameters=parameters, options=options)
                checking(out, prints, options=options)
                with measured("vector", "cpu"):
                    extract(base, out, out=work / "vector", dtype="bfloat16", progress=SILENT)
                with measured("stamp, through host memory", "cpu") as (more, elapsed):
                    report = stamp(base, work / "vector", out=work / "stamped", progress=SILENT)
                    more.append(f", {report.bytes / elapsed() / 1e9:.2f} GB/s")
                for folder in (out, work / "vector", work / "stamped"):
                    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
