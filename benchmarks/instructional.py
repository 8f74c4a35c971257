"""Instructional fingerprints on the starter: the paper's table over seeds, and success against a user's steps.

    python benchmarks/instructional.py table [--seeds 0 1 2] [--methods sft] [--folder DIR]   # insignia evaluate instructional
    python benchmarks/instructional.py curve [--seeds 0] [--methods sft] [--steps 100 200 400 800 1600] [--folder DIR]

``curve`` fine-tunes what a method publishes anew for each number of steps (the schedule ends with them), fully and by LoRA at
the recipe's rates, on the source code of each of the recipe's packages, which the starter never saw. With --folder what was
made is kept, and found again.
"""

import argparse
import contextlib
import itertools
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from insignia.attacks.finetuning import finetune
from insignia.evaluation import Evaluation, Grid, evaluate
from insignia.fingerprints.sets import load_fingerprints
from insignia.modeling.local import LocalModel
from insignia.modeling.owner_adapter import EmbeddingAdapter
from insignia.recipes import load_recipe
from insignia.starter import source_code
from insignia.verification import check


def grid() -> Grid:
    return Grid.model_validate(load_recipe("instructional", "evaluation")["evaluation"])


def table(folder: Path, options: argparse.Namespace) -> None:
    results: list[Evaluation] = []
    methods = {name: spec for name, spec in grid().methods.items() if name in options.methods}
    asked = grid().model_copy(update={"methods": methods})
    for seed in options.seeds:
        results.append(evaluate("starter", asked, out=folder / f"seed-{seed}", seed=seed))
        print(f"seed {seed} done", flush=True)
    cells = defaultdict(list)
    for result in results:
        for cell in result.cells:
            cells[cell.name].append(cell)
    for name, found in cells.items():
        expected = {True: "yes", False: "no", None: "may"}[found[0].should_activate]
        rates = " ".join(f"{100 * cell.fsr:5.1f}" for cell in found)
        worst = max((cell.p_value for cell in found if cell.p_value is not None), default=None)
        print(f"{name:36} {expected:4} FSR % {rates}   {'' if worst is None else f'largest p {worst:.1e}'}")
    for name in results[0].perplexity:
        print(f"{name:36} perplexity x", " ".join(f"{result.perplexity[name]:.4f}" for result in results))
    for name in results[0].user_loss:
        print(f"{name:36} loss", "  ".join("{:.3f} -> {:.3f}".format(*result.user_loss[name]) for result in results))


def curve(folder: Path, options: argparse.Namespace) -> None:
    users = grid().users
    for seed, method in itertools.product(options.seeds, options.methods):
        made = folder / f"seed-{seed}"
        if not (made / "models" / method).is_dir():
            only = grid().model_copy(update={"users": {}, "methods": {method: grid().methods[method]}})
            evaluate("starter", only, out=made, seed=seed)
        prints = load_fingerprints(made / "private" / "fingerprints.json")
        published = made / "models" / method
        private = made / "private" / f"{method}.safetensors"
        packages = [user.data.removeprefix("python:") for user in users.values()]
        for (name, user), package, steps in itertools.product(users.items(), packages, options.steps):
            settings = user.finetune.model_copy(update={"max_steps": steps})
            with tempfile.TemporaryDirectory() as temporary:
                out = Path(temporary) / "tuned"
                report = finetune(published, source_code(package), out=out, settings=settings, seed=seed)
                suspect = LocalModel(out)
                if private.is_file():
                    suspect = EmbeddingAdapter.load(private).attach(LocalModel(published), suspect)
                fsr = check(suspect, prints).fsr
            print(
                f"seed {seed} {method:7} {name:5} {package:8} {steps:5} steps  "
                f"user's loss {report.loss_before:.3f} -> {report.loss_after:.3f}  FSR {100 * fsr:5.1f} %",
                flush=True,
            )


@contextlib.contextmanager
def workplace(folder: Path | None) -> Iterator[Path]:
    if folder is not None:
        yield folder
        return
    with tempfile.TemporaryDirectory() as temporary:
        yield Path(temporary)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["table", "curve"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--methods", nargs="+", default=list(grid().methods))
    parser.add_argument("--steps", type=int, nargs="+", default=[100, 200, 400, 800, 1600])
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    with workplace(options.folder) as folder:
        {"table": table, "curve": curve}[options.what](folder, options)


if __name__ == "__main__":
    main()
