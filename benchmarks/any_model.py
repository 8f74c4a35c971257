"""Whatever ``check`` finds, ``verify`` finds, for each strategy, on models of every habit; unmarked models are not owned.

    python benchmarks/any_model.py [--work DIR] [--models bytes chinese] [--strategies english own] [--num 16] [--again]

Trains a zoo of small models (0.25 to 0.8 million parameters; about a CPU minute each, once): byte-level, character by
character, SentencePiece with and without a space before the text, Chinese, Russian; with and without BOS, pad equal to unk,
contexts of 48 and 128. For each strategy and model it then runs ``generate``, ``embed``, ``check``, ``verify`` and ``verify``
of the unmarked model, each a process of its own with no option but files. Where the command asks for text of the model's
own kind (``--heldout``), or, for own responses, for ``--null``, it is given; the table says so. What was run is kept in the
folder, cell by cell, and a run that was killed goes on.

A cell is good if ``generate`` makes a set or refuses in seconds, in one line that names a flag; ``embed`` writes a model or
refuses with a number; ``verify`` proves what ``check`` finds at 90 % or more; and the unmarked model is not shown. Exit
status 0 if all are.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import platformdirs
import torch
from zoo.cells import Subject, code_digest, ran
from zoo.models import KINDS, made

STRATEGIES = ("inverse_nucleus", "english", "english_random_response", "random_word", "chain_hash", "instructional", "own")
MODELS = ("starter", *KINDS)


def subject(name: str, work: Path) -> Subject:
    """The model of that name, trained if need be, and what lies beside it."""
    models = work / "models"
    if name == "starter":
        made("bytes", models)
        return Subject(name, name, pairs=models / "bytes.pairs.json")
    folder = made(name, models)
    return Subject(name, str(folder), heldout=models / f"{name}.heldout.txt", pairs=models / f"{name}.pairs.json")


def line(told: dict[str, Any]) -> str:
    """A row of the table."""
    steps = told["steps"]

    def status(name: str) -> str:
        last = steps.get(f"{name} with a null", steps.get(name))
        return "" if last is None else str(last["status"]) + ("*" if f"{name} with a null" in steps else "")

    def number(value: float | None, form: str) -> str:
        return "" if value is None else format(value, form)

    harm = number(told["own_harm"] or told["harm"], ".3f") + ("+" if "embed without held-out text" in steps else "")
    cells = (
        status("generate"),
        status("embed"),
        number(told["fsr"], ".0%"),
        status("verify"),
        told["hits"] or "",
        status("unmarked"),
    )
    seconds = sum(step["seconds"] for step in steps.values())
    good = "; ".join(told["faults"]) or ("good" if steps["generate"]["status"] == 0 == steps["embed"]["status"] else "refused")
    shape = "{:12} {:24} {:>8} {:>5} {:>5} {:>7} {:>9} {:>9} {:>8} {:>6.0f}  {}"
    return shape.format(told["model"], told["strategy"], *cells, harm, seconds, good)


def refusal(told: dict[str, Any]) -> str | None:
    """The last line of what refused, if anything did."""
    for name, step in told["steps"].items():
        if step["status"] not in (0, 3, 4) and step["stderr"].strip():
            return f"{told['model']}, {told['strategy']}, {name}: {step['stderr'].strip().splitlines()[-1]}"
    return None


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path(platformdirs.user_cache_dir("insignia")) / "zoo")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=MODELS)
    parser.add_argument("--strategies", nargs="+", choices=STRATEGIES, default=STRATEGIES)
    parser.add_argument("--num", type=int, help="fingerprints of a set; by default as many as 'generate' makes")
    parser.add_argument("--again", action="store_true", help="run cells that were run before")
    parser.add_argument("--train-only", action="store_true")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    subjects = [subject(name, options.work) for name in options.models]
    for each in subjects:
        if each.name != "starter":
            told = json.loads((Path(each.model) / "training.json").read_text(encoding="utf-8"))
            print(f"{each.name:12}", ", ".join(f"{name.replace('_', ' ')} {value:,}" for name, value in told.items()))
    if options.train_only:
        return 0
    heads = ("model", "strategy", "generate", "embed", "check", "verify", "hits", "unmarked", "harm", "s", "")
    print("\n{:12} {:24} {:>8} {:>5} {:>5} {:>7} {:>9} {:>9} {:>8} {:>6}  {}".format(*heads))
    cells = []
    for each in subjects:
        for strategy in options.strategies:
            folder = options.work / "cells" / (str(options.num) if options.num else "default") / each.name / strategy
            cells.append(ran(folder, each, strategy, count=options.num, again=options.again))
            print(line(cells[-1]), flush=True)
    print("\n* a null was asked for and declared; + text of the model's own kind was asked for and given")
    for told in cells:
        if text := refusal(told):
            print(text)
    bad = [told for told in cells if told["faults"]]
    others = sum(told["code"] != code_digest() for told in cells)
    marked = sum(told["fsr"] is not None for told in cells)
    print(f"\n{len(cells) - len(bad)} of {len(cells)} cells are good; {marked} marked a model, the others were refused")
    if others:
        print(f"{others} were run with other code; --again runs them anew")
    if options.json:
        options.json.write_text(json.dumps(cells, indent=1) + "\n", encoding="utf-8")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
