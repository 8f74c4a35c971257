"""What survives: four marks of the starter, each under every attack of the bundled grid, beside an unmarked base and a sibling.

    python benchmarks/robustness.py --folder DIR [--seeds 0 1 2] [--strategies ...] [--attacks merge finetune ...]

Marks of 64 fingerprints are made once and kept, DIR/STRATEGY+SEED/prints.json and model, as graded.py keeps them. Cells are
kept in DIR/robustness+SEED, so a run that was cut short goes on, and attacks can be added by a second run. The last line tells
the processor time of this run. Attackers who fine-tune take ten times the rate of large models, which a model this small needs
before its loss falls (docs/lab-log.md).
"""

import argparse
import time
from pathlib import Path

from grading.marks import kept

from insignia.evaluation import AttackGrid, Mark, measure_robustness
from insignia.reporting.base import write_report
from insignia.reporting.survival import robustness_report
from insignia.starter import model_folder

STRATEGIES = ("inverse_nucleus", "ranked", "chain_hash", "random_word")
STARTER_RATE = 3e-4


def grid(folder: Path, strategies: list[str], seed: int, attacks: list[str] | None) -> AttackGrid:
    """The bundled attacks, or those of these names, at all strengths or at one."""
    marks = {strategy: kept(folder, strategy, seed) for strategy in strategies}
    given = {name: Mark(model=str(each.model), fingerprints=each.prints_file) for name, each in marks.items()}
    bundled = AttackGrid().attacks
    bundled["finetune"]["learning_rate"] = STARTER_RATE
    named = (each.partition(":") for each in attacks or bundled)
    return AttackGrid(marks=given, attacks={name: at(strength, bundled[name]) for name, _, strength in named})


def at(strength: str, spec: dict) -> dict:
    """The attack at this one of its strengths; an empty one stands for all."""
    lists = {field: value for field, value in spec.items() if isinstance(value, list) and len(value) > 1}
    return spec | {field: [each for each in value if strength in ("", str(each))] for field, value in lists.items()}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--strategies", nargs="+", default=list(STRATEGIES))
    parser.add_argument("--attacks", nargs="+", help="NAME or NAME:STRENGTH of the bundled recipe; default: all")
    options = parser.parse_args(arguments)
    started = time.process_time()
    for seed in options.seeds:
        out = options.folder / f"robustness{seed}"
        result = measure_robustness(
            model_folder(), grid(options.folder, options.strategies, seed, options.attacks), out=out, seed=seed, device="cpu"
        )
        write_report(robustness_report(result), out / "robustness.md")
        tests = [proof for row in result.rows if row.suspect != "marked" for proof in row.by_channel.values()]
        print(f"{result}\n{out / 'robustness.md'}", flush=True)
        print(f"{len(tests)} tests of controls, least p-value {min(test.p_value for test in tests):.2g}", flush=True)
    print(f"processor time {time.process_time() - started:.0f} s")


if __name__ == "__main__":
    main()
