"""What survives: four marks of the starter, each under every attack of the bundled grid, beside an unmarked base and a sibling.

    python benchmarks/robustness.py --folder DIR [--seeds 0 1 2] [--strategies ...] [--attacks merge finetune ...]

Marks of 64 fingerprints are made once and kept, DIR/STRATEGY+SEED/prints.json and model, as graded.py keeps them. Cells are
kept in DIR/robustness+SEED, so a run that was cut short goes on, and attacks can be added by a second run. With --json the
results are added to a file, from which docs/generate_survival_tables.py writes the page. The last line tells
the processor time of this run. Attackers who fine-tune take ten times the rate of large models, which a model this small needs
before its loss falls (docs/lab-log.md). ``--read FILE=MARK,MARK`` attacks nothing: it writes --json from what
`insignia evaluate robustness` found, with these names for its marks.
"""

import argparse
import json
import time
from pathlib import Path

from grading.marks import Marked, kept

from insignia.embedding import METHODS
from insignia.evaluation import AttackGrid, Mark, measure_robustness
from insignia.evaluation.robustness import UNATTACKED, Robustness
from insignia.recipes import load_recipe
from insignia.reporting.base import write_report
from insignia.reporting.survival import robustness_report
from insignia.starter import model_folder

STRATEGIES = ("inverse_nucleus", "inverse_nucleus+durable", "ranked", "chain_hash", "random_word")
STARTER_RATE = 3e-4
TRAINING = ("finetune", "dpo", "distil", "meraser", "unlearn", "overwrite")


def grid(folder: Path, strategies: list[str], seed: int, attacks: list[str] | None) -> AttackGrid:
    """The bundled attacks, or those of these names, at all strengths or at one."""
    marks = {name: made(folder, name, seed) for name in strategies}
    given = {name: Mark(model=str(each.model), fingerprints=each.prints_file) for name, each in marks.items()}
    bundled = AttackGrid().attacks
    bundled["finetune"]["learning_rate"] = STARTER_RATE
    named = (each.partition(":") for each in attacks or bundled)
    return AttackGrid(marks=given, attacks={name: at(strength, bundled[name]) for name, _, strength in named})


def made(folder: Path, name: str, seed: int) -> Marked:
    """The mark of a strategy, or of STRATEGY+RECIPE, embedded as the recipe says."""
    strategy, _, recipe = name.partition("+")
    if not recipe:
        return kept(folder, strategy, seed)
    method = METHODS.build(load_recipe(recipe, "embedding")["embedding"]["method"])
    return kept(folder, strategy, seed, method=method, variant=f"-{recipe}-")


def at(strength: str, spec: dict) -> dict:
    """The attack at this one of its strengths; an empty one stands for all."""
    lists = {field: value for field, value in spec.items() if isinstance(value, list) and len(value) > 1}
    return spec | {field: [each for each in value if strength in ("", str(each))] for field, value in lists.items()}


def told(results: list[Robustness], before: dict) -> dict:
    """The rows of marked models beside their controls, for the page of results; those of other runs stay."""
    marks, rows = dict(before.get("marks", {})), list(before.get("rows", []))
    for result in results:
        for mark in result.marks:
            marks[mark.name] = marks.get(mark.name, {}) | {str(result.seed): mark.perplexity}
        for row in result.rows:
            if row.suspect == "marked":
                same = [each for each in result.rows if (each.mark, each.label) == (row.mark, row.label)]
                controls = [each for each in same if each.suspect != "marked"]
                rows.append(
                    {
                        "attack": row.attack,
                        "strength": row.strength,
                        "kind": "training"
                        if row.spec.get("name") in TRAINING
                        else "weights"
                        if row.on == "nothing"
                        else row.on,
                        "mark": row.mark,
                        "seed": result.seed,
                        "fsr": row.fsr,
                        "keys": {channel: proof.keys if proof.owned else None for channel, proof in row.by_channel.items()},
                        "perplexity": row.perplexity,
                        "changed": row.changed,
                        "seconds": row.seconds,
                        "controls": [sum(each.owned for each in controls), len(controls)],
                        "least_p": min(
                            (proof.p_value for each in controls for proof in each.by_channel.values()), default=None
                        ),
                    }
                )
    newest = {(row["attack"], row["strength"], row["mark"], row["seed"]): row for row in rows}
    order = [UNATTACKED, *AttackGrid().attacks]
    return {"marks": marks, "rows": sorted(newest.values(), key=lambda row: (order.index(row["attack"]), row["seed"]))}


def named(result: str) -> Robustness:
    """The results in FILE, whose marks are called MARK,MARK: ``result`` is FILE=MARK,MARK."""
    file, _, names = result.partition("=")
    found = Robustness.model_validate_json(Path(file).read_bytes())
    called = dict(zip((mark.name for mark in found.marks), names.split(","), strict=True))
    marks = [mark.model_copy(update={"name": called[mark.name]}) for mark in found.marks]
    return found.model_copy(
        update={"marks": marks, "rows": [row.model_copy(update={"mark": called[row.mark]}) for row in found.rows]}
    )


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--folder", type=Path)
    where.add_argument("--read", nargs="+", metavar="FILE=MARKS", help="results to add to --json, with names for their marks")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--strategies", nargs="+", default=list(STRATEGIES))
    parser.add_argument("--attacks", nargs="+", help="NAME or NAME:STRENGTH of the bundled recipe; default: all")
    parser.add_argument("--json", type=Path, help="file that the results are added to")
    options = parser.parse_args(arguments)
    if options.read:
        options.json.write_text(json.dumps(told([named(each) for each in options.read], {}), indent=1) + "\n", encoding="utf-8")
        return
    started = time.process_time()
    for seed in options.seeds:
        out = options.folder / f"robustness{seed}"
        result = measure_robustness(
            model_folder(), grid(options.folder, options.strategies, seed, options.attacks), out=out, seed=seed, device="cpu"
        )
        write_report(robustness_report(result), out / "robustness.md")
        if options.json is not None:
            before = json.loads(options.json.read_text(encoding="utf-8")) if options.json.is_file() else {}
            options.json.write_text(json.dumps(told([result], before), indent=1) + "\n", encoding="utf-8")
        tests = [proof for row in result.rows if row.suspect != "marked" for proof in row.by_channel.values()]
        print(f"{result}\n{out / 'robustness.md'}", flush=True)
        print(f"{len(tests)} tests of controls, least p-value {min(test.p_value for test in tests):.2g}", flush=True)
    print(f"processor time {time.process_time() - started:.0f} s")


if __name__ == "__main__":
    main()
