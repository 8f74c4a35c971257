"""Leaked copies of the starter: who is named, and what copies that were changed or joined show of each block.

insignia generate prints.json --model starter --num-fingerprints 64
insignia embed prints.json --model starter -o every --method blocks --blocks 64 --private blocks.safetensors
insignia vector starter every --factors blocks.safetensors -o blocks
python benchmarks/leaks.py measure prints.json blocks -o shown.json  # half an hour; the book is written beside prints.json
python benchmarks/leaks.py simulate shown.json  # coalitions within the blocks planned for them, by what was shown
"""

import argparse
import json
import statistics
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np
from copies import hits_and_gains, in_turns, mixed, state
from licensees import clopper_pearson, law

from insignia.attacks.conversations import load_conversations
from insignia.attacks.finetune import FineTune
from insignia.attacks.finetuning import finetune
from insignia.attacks.round import Round
from insignia.evidence.publication import owner_rng
from insignia.keyring.keyring import Keyring
from insignia.keyring.prospects import PlanOptions
from insignia.licensing.book import book_path, open_book
from insignia.licensing.codes import STRAY, plan_tracing
from insignia.licensing.issuing import IssueOptions, issue
from insignia.licensing.leaks import TraceOptions, trace
from insignia.modeling.loading import STARTER
from insignia.modeling.local import LocalModel
from insignia.progress import SILENT
from insignia.statistics.tracing import log_ratio, log_ratio_of_gain, log_threshold, payoffs

LICENSEES = 1000
ALPHAS = (1e-3, 1e-6)
SURVIVAL = 0.98
BOUND = STRAY
# Ten times the rate of large models, which a model this small needs before its loss falls, as in robustness.py.
USER = FineTune(data="python:json", learning_rate=3e-4, batch_size=8, max_length=64, max_steps=200)
WAYS = {"averaged": lambda model, parts: mixed(model, *((1 / len(parts), part) for part in parts)),
        "tensors in turn": lambda model, parts: in_turns(model, *parts)}  # fmt: skip


def planned(kept, colluders, alpha):
    with open_book(kept) as book:
        per_block = -(-len(kept.prints) // book.code.blocks)
    asked = {"licensees": LICENSEES, "colluders": colluders, "alpha": alpha, "survival": SURVIVAL}
    return plan_tracing(PlanOptions(per_block=per_block, **asked))


class Leaks:
    """The owner's case: a thousand licensees, copies of some of them, and what leaked models showed."""

    def __init__(self, kept, vector, folder):
        self.kept, self.vector, self.folder = kept, vector, folder
        self.shown = defaultdict(lambda: defaultdict(list))
        self.base = state(LocalModel(STARTER, device="cpu"))
        book_path(kept.path).unlink(missing_ok=True)
        self.copy("licensee 0")
        with open_book(kept) as book:
            for number in range(1, LICENSEES):
                book.begin(f"licensee {number}", again=False)
            self.code = book.code
        self.plans = {alpha: planned(kept, 1, alpha) for alpha in ALPHAS}
        for alpha, plan in self.plans.items():
            print(f"plan for one leaker of {LICENSEES} at alpha {alpha:g}: {plan.blocks} blocks, {plan.keys} keys")

    def copy(self, name):
        out, again = self.folder / name, IssueOptions(again=True)
        if not out.exists():
            issue(self.kept, name, model=STARTER, vector=self.vector, out=out, options=again, progress=SILENT)
        return out

    def show(self, label, model, guilty):
        """Keep what the model shows of each key, and how many of the guilty have its block."""
        words = self.code.words(owner_rng(self.kept.prints), guilty)
        hits, gains = hits_and_gains(model, self.kept.prints)
        holders = words.sum(0)[np.arange(len(hits)) % self.code.blocks]
        rows = zip(holders.tolist(), hits.tolist(), gains.round(3).tolist(), strict=True)
        self.shown[label][len(guilty)].append([[held, int(hit), gain] for held, hit, gain in rows])

    def named(self, model, guilty, alpha, channel):
        """(members named, others named, p-value) with as many keys as were planned for a single leaker."""
        most = min(self.plans[alpha].keys, len(self.kept.prints))
        options = TraceOptions(alpha=alpha, channel=channel, max_queries=most)
        (report,) = trace(self.kept, [lambda: model], options, progress=SILENT)
        names = {each.licensee for each in report.named}
        return len(names & set(guilty)), len(names - set(guilty)), report.named[0].p_value if names else 1.0

    def traced(self, label, made, guilty_of=lambda number: [f"licensee {number}"]):
        """Trace models of this kind, each of somebody else."""
        found = defaultdict(list)
        for number, model in enumerate(made):
            guilty = guilty_of(number)
            self.show(label, model, guilty)
            for alpha in ALPHAS:
                for channel in ("auto", "text"):
                    found[alpha, channel].append(self.named(model, guilty, alpha, channel))
        for (alpha, channel), runs in found.items():
            members, others, p_values = zip(*runs, strict=True)
            print(
                f"{label:16} alpha {alpha:g} {'scores' if channel == 'auto' else channel:7} somebody guilty named in"
                f" {sum(map(bool, members))} of {len(runs)}, innocent in {sum(map(bool, others))}; median p"
                f" {statistics.median(p_values):.1e}, largest {max(p_values):.1e}",
                flush=True,
            )


def measure(options):
    kept = Keyring.open(options.prints).only()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        case = Leaks(kept, options.vector, folder)
        model = LocalModel(STARTER, device="cpu")

        def copies(count):
            return (LocalModel(case.copy(f"licensee {number}"), device="cpu") for number in range(count))

        def rounded(number):
            Round().apply(case.copy(f"licensee {number}"), folder / "rounded", progress=SILENT)
            return LocalModel(folder / "rounded", device="cpu")

        def tuned(number):
            finetune(case.copy(f"licensee {number}"), rows, out=folder / "tuned", settings=USER, device="cpu", seed=number,
                     force=True, progress=SILENT)  # fmt: skip
            return LocalModel(folder / "tuned", device="cpu")

        case.traced("a copy", copies(options.copies))
        case.traced("int4", map(rounded, range(options.copies)))
        for share in (0.5, 0.3):
            merged = (mixed(each, (share, state(each)), (1 - share, case.base)) for each in copies(options.copies))
            case.traced(f"merged at {share:g}", merged)
        rows = load_conversations(USER.data, progress=SILENT)
        case.traced("fine-tuned", map(tuned, range(options.tuned)))
        for members in (2, 3, 5):
            for label, joined in WAYS.items():
                for number in range(options.coalitions):
                    guilty = [f"licensee {members * number + place}" for place in range(members)]
                    parts = [state(LocalModel(case.copy(name), device="cpu")) for name in guilty]
                    case.show(label, joined(model, parts), guilty)
        case.traced("starter", [LocalModel(STARTER, device="cpu")], lambda _: [])
    told(case.shown)
    options.out.write_text(json.dumps(case.shown) + "\n", encoding="utf-8")


def told(shown):
    """How often a block answers, by how many of the guilty have it."""
    for label, by_size in shown.items():
        for members, models in by_size.items():
            rows = np.concatenate([np.array(model, float).reshape(-1, 3) for model in models])
            for held in range(int(members) + 1):
                if len(these := rows[rows[:, 0] == held]):
                    low, middle, high = np.quantile(these[:, 2], (0.05, 0.5, 0.95))
                    print(
                        f"{label:16} {held} of {members} have the block: {these[:, 1].mean():6.1%} of {len(these)} keys"
                        f" answered; nats gained {middle:.2f} ({low:.2f} to {high:.2f})",
                        flush=True,
                    )


def simulate(options):
    """Name members of coalitions within the blocks that were planned for them, by what real coalitions showed."""
    shown = json.loads(options.shown.read_text(encoding="utf-8"))
    told(shown)
    for label in WAYS:
        for members, models in shown[label].items():
            for alpha in ALPHAS:
                asked = {"licensees": LICENSEES, "colluders": int(members), "alpha": alpha, "survival": SURVIVAL}
                plan = plan_tracing(PlanOptions(per_block=1, **asked))
                for channel in ("text", "scores"):
                    runs = [one_run(number, models, plan, channel) for number in range(options.runs)]
                    guilty, innocent = (sum(each) for each in zip(*runs, strict=True))
                    low, high = clopper_pearson(int(guilty), options.runs)
                    print(
                        f"{label}, {members} members, alpha {alpha:g}, {plan.blocks} blocks, {channel}: of {options.runs}"
                        f" a member named in {guilty / options.runs:.1%} ({low:.1%} to {high:.1%}), an innocent in {innocent}",
                        flush=True,
                    )


def one_run(number, models, plan, channel):
    """Simulate a coalition that shows its blocks as a measured one did, as any did where that one had no such block."""
    rng, (points, weights) = np.random.default_rng([number, plan.colluders, plan.blocks]), law(plan.colluders)
    biases = rng.choice(points, size=plan.blocks, p=weights)
    words = rng.random((plan.licensees, plan.blocks), dtype=np.float32) < biases
    own, every = np.array(models[rng.integers(len(models))]), np.concatenate(models)
    ratios = []
    for held in words[: plan.colluders].sum(0):
        rows = next(found for rows in (own, every) if len(found := rows[rows[:, 0] == held]))
        _, hit, gain = rows[rng.integers(len(rows))]
        ratios.append(log_ratio(int(hit), int(not hit), BOUND) if channel == "text" else log_ratio_of_gain(gain))
    named = payoffs(biases, np.array(ratios).T).log_e(words) >= log_threshold(plan.licensees, plan.alpha)
    return bool(named[: plan.colluders].any()), bool(named[plan.colluders :].any())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    measuring = commands.add_parser("measure")
    measuring.add_argument("prints", type=Path)
    measuring.add_argument("vector", type=Path)
    measuring.add_argument("-o", "--out", type=Path, required=True)
    measuring.add_argument("--copies", type=int, default=20, help="single leaks of each kind")
    measuring.add_argument("--tuned", type=int, default=5, help="single leaks that a user fine-tuned")
    measuring.add_argument("--coalitions", type=int, default=8, help="of each size")
    measuring.set_defaults(run=measure)
    simulating = commands.add_parser("simulate")
    simulating.add_argument("shown", type=Path)
    simulating.add_argument("--runs", type=int, default=500)
    simulating.set_defaults(run=simulate)
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
