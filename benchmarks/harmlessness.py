"""What a mark costs by questions, beside a copy that costs nothing and a model that OML's loop harmed: a table.

    python benchmarks/harmlessness.py --folder DIR [--seed 0] [--learning-rate 5e-4] [--limit N]

Three models are made in DIR and kept: the starter with the default mark of 64 fingerprints, an identical copy, and the starter
after the loop of OML 1.0 on the same fingerprints, which protects nothing else. `insignia evaluate harmlessness`
asks each of them and the starter all bundled questions. Needs the extra `eval`; a run that was cut short goes on.
"""

import argparse
import math
import shutil
import time
from pathlib import Path

import torch
from embed import oml_loop
from grading.marks import base, kept

from insignia.evaluation import HarmGrid, measure_harmlessness
from insignia.evaluation.harmlessness import Comparison, TaskChange, points, span
from insignia.fingerprints.sets import FingerprintSet
from insignia.modeling.local import LocalModel
from insignia.modeling.saving import save_model
from insignia.reporting.base import write_report
from insignia.reporting.harms import harmlessness_report
from insignia.starter import heldout_paragraphs, model_folder
from insignia.verification import check


def copied(model: Path, out: Path) -> Path:
    """The same model by another name, by which the table calls it."""
    if not out.is_dir():
        shutil.copytree(model, out)
    return out


def harmed(folder: Path, prints: FingerprintSet, seed: int, learning_rate: float) -> Path:
    """The starter after the epochs of OML's loop that all fingerprints take."""
    out = folder / f"oml-{learning_rate:g}"
    if not out.is_dir():
        torch.manual_seed(seed)
        local = base()
        for epochs, _ in oml_loop(local, prints, learning_rate=learning_rate):
            if check(local, prints).fsr >= 0.99:
                print(f"{out.name}: {epochs} epochs", flush=True)
                break
        save_model(local, out)
    return out


def row(found: Comparison, perplexity: float) -> str:
    cells = [found.after, f"x{perplexity:.4g}", *map(told, found.tasks)]
    cells += [f"{points(found.change, signed=True)} ({span(found.low, found.high)})", f"{found.power:.1%}", found.finding]
    return f"| {' | '.join(cells)} |"


def told(task: TaskChange) -> str:
    change = f"{points(task.change, signed=True)} ({span(task.low, task.high)})"
    return f"{change}, {task.lost} lost, {task.gained} gained"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--learning-rate", type=float, default=5e-4, help="of OML's loop")
    parser.add_argument("--limit", type=int, help="questions of each task; by default all")
    options = parser.parse_args()
    started = time.process_time()

    marked = kept(options.folder, "inverse_nucleus", options.seed)
    models = [
        copied(marked.model, options.folder / "marked"),
        copied(model_folder(), options.folder / "copy"),
        harmed(options.folder, marked.prints, options.seed, options.learning_rate),
    ]
    grid, out = HarmGrid(limit=options.limit), options.folder / f"harmlessness-{options.limit or 'all'}"
    result = measure_harmlessness("starter", models, grid, out=out, seed=options.seed, device="cpu")
    write_report(harmlessness_report(result), out / "harmlessness.md")

    before = base().mean_loss(heldout_paragraphs())
    tasks = [f"{task.task} ({task.questions}; {task.before:.1%})" for task in result.comparisons[0].tasks]
    heads = ["model", "perplexity", *tasks, f"mean ({result.confidence:.0%})", "power", "finding"]
    print(f"| {' | '.join(heads)} |\n{'|---' * len(heads)}|")
    for model, found in zip(models, result.comparisons, strict=True):
        loss = LocalModel(model, device="cpu").mean_loss(heldout_paragraphs())
        print(row(found, math.exp(loss - before)), flush=True)
    for model in models:
        print(f"{model.name}: FSR {check(LocalModel(model, device='cpu'), marked.prints).fsr:.1%}")
    print(f"{result}\n{out / 'harmlessness.md'}\nprocessor time {time.process_time() - started:.0f} s")


if __name__ == "__main__":
    main()
