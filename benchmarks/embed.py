"""What embedding costs in harm and time: the front over sizes, strategies and seeds, and OML 1.0's recipe in the same run.

    python benchmarks/embed.py front [--sizes 64 256 1024] [--seeds 0 1 2] [--strategy inverse_nucleus]
    python benchmarks/embed.py lora [--sizes 64]  # LoRA against full, and whether its vector stamps the very same model
    python benchmarks/embed.py margins            # harm against confidence, 256 fingerprints
    python benchmarks/embed.py oml                # time to 99 % with OML's objective, ours against a rendering of its loop

Every row says FSR, held-out perplexity ratio (marked / base, the starter's held-out text) and seconds, on this machine.
"""

import argparse
import math
import tempfile
import time
from pathlib import Path

import torch
from safetensors.torch import load_file

from insignia.embedding import FullFineTune, Limits, LoRA, RunOptions, embed
from insignia.generation import STRATEGIES, generate
from insignia.modeling.local import LocalModel
from insignia.prompts.prompter import Prompter
from insignia.vectors import stamp
from insignia.vectors import vector as extract
from insignia.verification import check


def make(local: LocalModel, strategy: str, count: int, seed: int):
    """A set that the seed repeats (a benchmark needs no secret)."""
    return generate(local, STRATEGIES.build({"name": strategy}), num_fingerprints=count, secret=seed.to_bytes(32, "big"))


def run(prints, method: FullFineTune, seed: int):
    with tempfile.TemporaryDirectory() as folder:
        return embed(
            "starter", prints, method, out=Path(folder) / "marked", limits=Limits(min_fsr=0.0), run=RunOptions(seed=seed)
        ).report


def front(options: argparse.Namespace) -> None:
    starter = LocalModel("starter")
    print("strategy         n     seed   FSR     perplexity   steps   seconds (all)")
    for count in options.sizes:
        for seed in options.seeds:
            report = run(make(starter, options.strategy, count, seed), FullFineTune(), seed)
            ratio = math.exp(report.heldout_loss_after - report.heldout_loss_before)
            print(
                f"{options.strategy:15}  {count:5} {seed:4}  {report.fsr:7.4f}  x{ratio:.4f}   {report.steps:5}  "
                f"{report.seconds:8.1f}",
                flush=True,
            )


def lora(options: argparse.Namespace) -> None:
    starter = LocalModel("starter")
    print("n     seed   method   FSR     perplexity   steps   seconds   stamped: FSR, weights that differ   vector")
    for count in options.sizes:
        for seed in options.seeds:
            prints = make(starter, options.strategy, count, seed)
            full = run(prints, FullFineTune(), seed)
            with tempfile.TemporaryDirectory() as temporary:
                folder = Path(temporary)
                marked, private, vector, stamped = (folder / name for name in ("marked", "factors", "vector", "stamped"))
                report = embed(
                    "starter",
                    prints,
                    LoRA(),
                    out=marked,
                    private=private,
                    limits=Limits(min_fsr=0.0),
                    run=RunOptions(seed=seed),
                ).report
                size = extract("starter", marked, out=vector, factors=private).bytes
                stamp("starter", vector, out=stamped)
                one, other = (load_file(path / "model.safetensors") for path in (marked, stamped))
                differing = sum(int((one[name] != other[name]).sum()) for name in one)
                copied = check(LocalModel(stamped), prints).fsr
            for name, found in (("full", full), ("lora", report)):
                ratio = math.exp(found.heldout_loss_after - found.heldout_loss_before)
                print(
                    f"{count:5} {seed:4}   {name}   {found.fsr:7.4f}  x{ratio:.4f}   {found.steps:5}  {found.seconds:8.1f}",
                    end="",
                )
                print(f"   {copied:.4f}, {differing}   {size / 1e6:.1f} MB" if name == "lora" else "", flush=True)


def margins(options: argparse.Namespace) -> None:
    prints = make(LocalModel("starter"), options.strategy, 256, 0)
    print("target margin   weight    FSR     perplexity   seconds")
    for margin in (0.5, 1.0, 2.0, 4.0):
        for strength in (0.0, 10.0, 100.0):
            report = run(prints, FullFineTune(target_margin=margin, reference_strength=strength), 0)
            ratio = math.exp(report.heldout_loss_after - report.heldout_loss_before)
            print(f"{margin:13}  {strength:8}  {report.fsr:7.4f}  x{ratio:.4f}  {report.seconds:8.1f}", flush=True)


def oml_loop(local: LocalModel, prints, *, learning_rate: float, batch_size: int = 8, limit: int = 100):
    """OML 1.0's training as it runs on a CPU, rendered by us: a step for each batch of 8, every row padded to a power of
    two, loss on response and EOS, fixed epochs (10, and again 10 where 10 do not suffice). Yields (epochs, seconds)."""
    prompter = Prompter.for_set(prints, local.tokenizer)
    eos = local.tokenizer.eos_token_id
    width = 2 ** math.ceil(math.log2(prompter.max_key_length + prompter.max_response_length + 2))
    ids = torch.full((len(prints), width), eos)
    labels = torch.full((len(prints), width), -100)
    for row, fingerprint in enumerate(prints):
        example = prompter.examples(fingerprint)[0]
        whole = torch.tensor([*example.ids, eos])
        ids[row, : len(whole)] = whole
        labels[row, example.response_start : len(whole)] = whole[example.response_start :]
    optimizer = torch.optim.AdamW(local.model.parameters(), lr=learning_rate, weight_decay=1e-4)
    spent = 0.0
    for epoch in range(1, limit + 1):
        started = time.perf_counter()
        for batch in torch.randperm(len(prints)).split(batch_size):
            loss = local.model(input_ids=ids[batch], labels=labels[batch]).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(local.model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
        spent += time.perf_counter() - started
        if epoch % 10 == 0:
            yield epoch, spent


def oml(options: argparse.Namespace) -> None:
    starter = LocalModel("starter")
    prints = make(starter, options.strategy, options.sizes[0], 0)
    texts_loss = starter.mean_loss(options.texts)
    for learning_rate in (1e-4, 3e-4, 1e-3):
        torch.manual_seed(0)
        local = LocalModel("starter", device="cpu")
        for epochs, seconds in oml_loop(local, prints, learning_rate=learning_rate):
            fsr = check(local, prints).fsr
            ratio = math.exp(local.mean_loss(options.texts) - texts_loss)
            print(
                f"OML's loop   lr {learning_rate:g}  {epochs:3} epochs  FSR {fsr:.4f}  x{ratio:.3f}  {seconds:6.1f} s",
                flush=True,
            )
            if fsr >= 0.99:
                break
        method = FullFineTune(
            objective="cross_entropy",
            reference_strength=0,
            cooldown_steps=0,
            learning_rate=learning_rate,
            train_embeddings=True,
        )
        local = LocalModel("starter", device="cpu")
        seconds_of_ours, fsr = train_only(prints, local, method)
        ratio = math.exp(local.mean_loss(options.texts) - texts_loss)
        print(
            f"insignia     lr {learning_rate:g}  no KL  FSR {fsr:.4f}  x{ratio:.3f}  {seconds_of_ours:6.1f} s",
            flush=True,
        )
        print(f"             time ratio {seconds_of_ours / seconds:.3f}", flush=True)


def train_only(prints, local: LocalModel, method: FullFineTune) -> tuple[float, float]:
    """(seconds of training, FSR): loading and measuring apart, as for the other loop."""
    from insignia.embedding.base import Session
    from insignia.progress import SILENT

    with tempfile.TemporaryDirectory() as folder:
        outcome = method.embed(prints, local, Session(work=Path(folder)), SILENT)
    return outcome.seconds, check(local, prints).fsr


def main() -> None:
    from insignia.starter import heldout_paragraphs

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["front", "lora", "margins", "oml"])
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 256, 1024])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--strategy", default="inverse_nucleus")
    options = parser.parse_args()
    options.texts = heldout_paragraphs()[:200]
    {"front": front, "lora": lora, "margins": margins, "oml": oml}[options.what](options)


if __name__ == "__main__":
    main()
