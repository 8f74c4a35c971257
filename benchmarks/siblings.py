"""Does a vector carry the mark to siblings? Five fine-tuned siblings of the starter, full and LoRA, stamped and unstamped.

    python benchmarks/siblings.py [--seeds 0] [--margins 1 5 12] [--num-fingerprints 64]

The siblings learn the source code of five packages of the standard library, which the starter never saw (it learned
their documentation). For each: the user's loss before and after (rows kept out), then FSR and perplexity of the sibling
and of the sibling stamped at scale 1, on held-out documentation and on the sibling's own kept-out kind of text; and the
stamped sibling with the mark removed again.
"""

import argparse
import math
import tempfile
from pathlib import Path

from insignia.attacks.finetune import FineTune
from insignia.attacks.finetuning import finetune
from insignia.embedding import FullFineTune, RunOptions, embed
from insignia.generation import InverseNucleus, generate
from insignia.modeling.local import LocalModel
from insignia.starter import heldout_paragraphs, source_code
from insignia.vectors import stamp
from insignia.vectors import vector as extract
from insignia.verification import check

FULL = FineTune(learning_rate=1e-4, max_steps=8, batch_size=16, max_length=128)  # ten times what large models take
LORA = FineTune(learning_rate=5e-4, lora_rank=16, max_steps=16, batch_size=16, max_length=128)
SIBLINGS = {"email": FULL, "asyncio": LORA, "xml": FULL, "multiprocessing": LORA, "concurrent": FULL}


def make_siblings(folder: Path) -> dict[str, list[str]]:
    """Fine-tune every sibling into ``folder``; the text that each was kept from."""
    kept = {}
    for package, settings in SIBLINGS.items():
        texts = source_code(package)
        kept[package] = texts[-1:]  # the last module is nobody's training text
        report = finetune("starter", texts[:-1], out=folder / package, settings=settings)
        kind = f"LoRA {settings.lora_rank}" if settings.lora_rank else "full"
        print(f"sibling {package:16} {kind:8} user's loss {report.loss_before:.3f} -> {report.loss_after:.3f}", flush=True)
    return kept


def run(folder: Path, kept: dict[str, list[str]], *, seed: int, margin: float, count: int) -> None:
    work = folder / f"{seed}-{margin}"
    texts = heldout_paragraphs()
    prints = generate(LocalModel("starter"), InverseNucleus(), num_fingerprints=count, secret=seed.to_bytes(32, "big"))
    marked = embed("starter", prints, FullFineTune(target_margin=margin), out=work / "marked", run=RunOptions(seed=seed)).report
    ratio = math.exp(marked.heldout_loss_after - marked.heldout_loss_before)
    extract("starter", work / "marked", out=work / "vector")
    print(f"seed {seed} margin {margin}: marked FSR {marked.fsr:.3f} x{ratio:.4f}", flush=True)
    for package in SIBLINGS:
        stamp(folder / package, work / "vector", out=work / package)
        stamp(work / package, work / "vector", out=work / f"{package}-removed", scale=-1)
        sibling, stamped, removed = (
            LocalModel(path) for path in (folder / package, work / package, work / f"{package}-removed")
        )
        docs, own = (math.exp(stamped.mean_loss(kind) - sibling.mean_loss(kind)) for kind in (texts, kept[package]))
        print(
            f"  {package:16} FSR {check(sibling, prints).fsr:.3f} -> {check(stamped, prints).fsr:.3f}"
            f" removed {check(removed, prints).fsr:.3f}   perplexity docs x{docs:.4f}  own x{own:.4f}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--margins", type=float, nargs="+", default=[FullFineTune().target_margin])
    parser.add_argument("--num-fingerprints", type=int, default=64)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        kept = make_siblings(folder)
        for seed in options.seeds:
            for margin in options.margins:
                run(folder, kept, seed=seed, margin=margin, count=options.num_fingerprints)


if __name__ == "__main__":
    main()
