"""Keys until proof by channel, after what a user or a thief does to the weights."""

import argparse
import json
import statistics
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from grading.marks import Marked, attacks, base, finetuned, kept
from grading.replays import Cell, replays
from insignia.evaluation.replays import Replayed, ask
from insignia.modeling.local import LocalModel
from insignia.starter import model_folder
from insignia.suspects.base import CHANNELS, Channel

QUICK = ("none", "merged at 0.05", "70% pruned")

Tests = dict[tuple[str, Channel], list[Replayed]]
"""(attack, channel) -> tests."""


def changed(
    marked: Marked, folder: Path, seed: int, options: argparse.Namespace
) -> Iterator[tuple[str, LocalModel, LocalModel]]:
    """(attack, marked model after it, the unmarked base after it)."""
    starter, model = base(), LocalModel(marked.model, device="cpu")
    for name, change in attacks(starter).items():
        if options.quick and name not in QUICK:
            continue
        yield name, change(model), change(starter)
    if options.finetune:
        users = [
            finetuned(source, folder / f"{name}-{seed}-by-a-user", seed=seed)
            for name, source in ((marked.model.parent.name, marked.model), ("base", model_folder()))
        ]
        yield "1,000 steps of a user", *users


def study(options: argparse.Namespace, folder: Path) -> tuple[Tests, Tests]:
    """Of the marked models and of the controls."""
    found: Tests = defaultdict(list)
    controls: Tests = defaultdict(list)
    for seed in options.seeds:
        marked = kept(folder, options.strategy, seed, **options.how)
        for attack, model, control in changed(marked, folder, seed, options):
            for suspect, tests in ((model, found), (control, controls)):
                for channel, replies in ask(suspect, marked.prints).items():
                    tests[attack, channel] += replays(marked.prints, channel, replies, seed=seed, orders=options.orders)
    return found, controls


def survival(options: argparse.Namespace, folder: Path) -> None:
    found, controls = study(options, folder)
    names = list(dict.fromkeys(attack for attack, _ in found))
    print(f"{options.strategy}, seeds {options.seeds}, {options.orders} orders of the keys each: keys until owned at 1e-6,")
    print("median (least to most; p-value with all keys); hits: mean share of keys at which the response comes first\n")
    print("{:22} {:28} {:28} {:28} {:28} {:22} {}".format("", *CHANNELS, "hits, scores / text", "controls owned, least p"))
    rows = []
    for name in names:
        cells = {channel: Cell.of(found[name, channel]) for channel in CHANNELS}
        of_base = [test for channel in CHANNELS for test in controls[name, channel]]
        hits = [statistics.fmean(test.hits for test in found[name, channel]) for channel in ("scores", "text")]
        owned, least = Cell.of(of_base).owned, min(test.log_p_of_all for test in of_base)
        rows.append(
            {"attack": name, "hits": hits, "controls": [owned, len(of_base), least]}
            | {channel: cell.as_json() for channel, cell in cells.items()}
        )
        print(f"{name:22} " + " ".join(f"{cells[channel]!s:28}" for channel in CHANNELS), end=" ")
        print(f"{hits[0]:6.1%} /{hits[1]:6.1%}        {owned} of {len(of_base)}, e^{least:.1f}", flush=True)
    if options.json:
        options.json.write_text(json.dumps({"strategy": options.strategy, "rows": rows}, indent=1) + "\n", encoding="utf-8")
