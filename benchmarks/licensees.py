"""Tracing without models: coalitions of licensees against the bets of ``insignia trace``, and against Perinucleus' rule.

python benchmarks/licensees.py simulate                      # 100 leaks of each kind within the planned blocks
python benchmarks/licensees.py simulate --runs 1430          # 10,000 leaks for each size of a coalition: half an hour
python benchmarks/licensees.py calibrate --alpha 1e-6        # members named by the planned blocks, other coalitions
python benchmarks/licensees.py million                       # time and memory of a trace of a million licensees
python benchmarks/licensees.py issue --folder /tmp           # time of a copy against cp -r; 6 GB of disk
"""

import argparse
import math
import os
import resource
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np

from insignia.licensing.codes import STRAY, Code, bias_law
from insignia.randomness import KeyedRandom
from insignia.statistics.collusion import EVASIVE, blocks_to_trace, seen_blocks, share_traced
from insignia.statistics.tails import log_binomial_tail
from insignia.statistics.tracing import BETS, KEPT, STRATEGIES, log_sum, log_threshold, payoffs, strategies

BOUND = STRAY  # of the default strategy's responses
LOOSE = 0.05  # an alpha at which innocents might be seen to be named at all
PERINUCLEUS_SHARE = 0.243  # of the fingerprints in each copy, from their simulation of three colluders


def law(colluders):
    points, chances = bias_law(colluders)
    return np.array(points), np.array(chances)


def clopper_pearson(successes, runs, level=0.95):
    """Exact binomial interval, by bisection on the tail."""

    def tail(count, share):  # P(at least count)
        return math.exp(log_binomial_tail(count, runs, share))

    def solve(condition):
        low, high = 0.0, 1.0
        for _ in range(50):
            middle = (low + high) / 2
            low, high = (middle, high) if condition(middle) else (low, middle)
        return low

    beyond = (1 - level) / 2
    lower = 0.0 if successes == 0 else solve(lambda share: tail(successes, share) < beyond)
    upper = 1.0 if successes == runs else solve(lambda share: 1 - tail(successes + 1, share) > beyond)
    return lower, upper


def present_by(strategy, words, rng, points, weights):
    """Which blocks (blocks,) the copy of a coalition (members, blocks) has."""
    if strategy == "adaptive":
        return least_evidence(words, points, weights)
    shows = np.array(strategies(len(words)).get(strategy, strategies(len(words))["in_turn"]))
    return rng.random(words.shape[1]) < shows[words.sum(0)]


def least_evidence(words, points, weights):
    """A coalition that knows all but the secret biases shows what must be expected to leave its best-placed member worst off.

    It guesses the bias of a block from how many of its members have it.
    """
    count, holders = len(words), words.sum(0)
    chances = np.array([weights * points**having * (1 - points) ** (count - having) for having in range(count + 1)])
    guesses = chances / chances.sum(1, keepdims=True)
    tables = [payoffs(points, np.full((len(KEPT), len(points)), sign * 20.0)) for sign in (-1, 1)]
    steps = [(guesses @ table.without.T, guesses @ table.having.T) for table in tables]  # by how many members have a block
    capital = np.log([bet.capital for bet in BETS])
    gains, present = np.zeros((count, len(BETS))), np.zeros(words.shape[1], bool)
    for block, held in enumerate(holders):
        ways = [np.where(words[:, block, None], having[held], without[held]) for without, having in steps]
        worst = [log_sum(gains + way + capital).max() for way in ways]
        present[block] = worst[1] < worst[0] if 0 < held < count else held > 0
        gains += ways[int(present[block])]
    return present


def perinucleus(words, strategy, rng, licensees):
    """Whether arg max of the number of shared fingerprints names a colluder, with their code of as many fingerprints."""
    count, blocks = words.shape
    copies = rng.random((licensees, blocks)) < PERINUCLEUS_SHARE
    coalition = copies[:count]
    if strategy == "adaptive":  # the least that it must show
        present = coalition.all(0)
    else:
        present = present_by(strategy, coalition, rng, None, None)
    return int((copies @ present.astype(np.float32)).argmax()) < count


def one_run(number, *, licensees, colluders, blocks, strategy, survival, points, weights):
    """The largest log e-values among members and among innocents, and whether Perinucleus' rule is right."""
    rng = np.random.default_rng([number, colluders, STRATEGIES.index(strategy) if strategy in STRATEGIES else 99])
    biases = rng.choice(points, size=blocks, p=weights)
    words = rng.random((licensees, blocks), dtype=np.float32) < biases
    present = present_by(strategy, words[:colluders], rng, points, weights)
    seen = seen_blocks(rng, present, survival=survival, per_block=1, bound=BOUND)
    found = payoffs(biases, seen).log_e(words)
    return found[:colluders].max(), found[colluders:].max(), perinucleus(words[:colluders], strategy, rng, licensees)


def simulate(options):
    for colluders in options.colluders:
        points, weights = law(colluders)
        asked = {"licensees": options.licensees, "alpha": options.alpha, "survival": options.survival, "bound": BOUND}
        planned = blocks_to_trace(points, weights, colluders=colluders, **asked)
        about = f"{options.licensees} licensees, coalitions of {colluders}, alpha {options.alpha:g}"
        print(f"\n{about}: {planned.blocks} blocks planned, half are traced after {planned.median}")
        print(
            f"{'strategy':10} {'colluder named':>24} {'innocent named':>20} {f'at alpha {LOOSE:g}':>20} {'arg max right':>24}"
        )
        whole = np.zeros((0, 3))
        for strategy in [*strategies(colluders), "adaptive"][: 1 if colluders == 1 else None]:
            results = np.array(
                [
                    one_run(
                        number,
                        licensees=options.licensees,
                        colluders=colluders,
                        blocks=planned.blocks,
                        strategy=strategy,
                        survival=options.survival,
                        points=points,
                        weights=weights,
                    )
                    for number in range(options.runs)
                ]
            )
            print(f"{strategy:10} {row(results, options)}", flush=True)
            whole = np.concatenate([whole, results])
        print(f"{'together':10} {row(whole, options)}", flush=True)


def row(results, options):
    """Shares of runs, and counts of those in which somebody innocent was named, with their intervals."""
    members, innocents, right = results.T
    named = (members >= log_threshold(options.licensees, options.alpha)).sum()
    wrong = [(innocents >= log_threshold(options.licensees, alpha)).sum() for alpha in (options.alpha, LOOSE)]
    parts = [(share_of(named, len(results)), 24), *((count_of(each, len(results)), 20) for each in wrong)]
    return " ".join(f"{part:>{width}}" for part, width in [*parts, (share_of(right.sum(), len(results)), 24)])


def share_of(count, runs):
    low, high = clopper_pearson(int(count), runs)
    return f"{count / runs:.1%} ({low:.1%} to {high:.1%})"


def count_of(count, runs):
    return f"{int(count)} (to {clopper_pearson(int(count), runs)[1]:.2%})"


def calibrate(options):
    """How often a member is named by the planned blocks, in other coalitions than those that the plan was made with."""
    for colluders in options.colluders:
        points, weights = law(colluders)
        asked = {"licensees": options.licensees, "colluders": colluders, "alpha": options.alpha}
        asked |= {"survival": options.survival, "bound": BOUND}
        planned = blocks_to_trace(points, weights, **asked)
        shares = []
        for name in [*strategies(colluders), EVASIVE][: 1 if colluders == 1 else None]:
            named = [share_traced(points, weights, planned.blocks, name, seed=seed, **asked) for seed in range(1, 6)]
            shares.append(f"{name} {statistics.mean(named):.1%}")
        print(f"coalitions of {colluders}, alpha {options.alpha:g}: {planned.blocks} blocks; {', '.join(shares)}", flush=True)


def million(options):
    """Time and memory of a trace: code words from names, then e-values."""
    rng, code = KeyedRandom(bytes(32)), Code(blocks=options.blocks)
    leaker = code.words(rng, ["licensee 4711"])[0]
    seen = seen_blocks(np.random.default_rng(0), leaker, survival=0.98, per_block=2, bound=BOUND)
    started = time.perf_counter()
    paid, best = payoffs(code.biases(rng), seen), []
    for first in range(0, options.licensees, 2**14):
        names = [f"licensee {number}" for number in range(first, min(options.licensees, first + 2**14))]
        values = paid.log_e(code.words(rng, names))
        best.append((float(values.max()), names[int(values.argmax())]))
    seconds, memory = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"{options.licensees} licensees, {options.blocks} blocks: {seconds:.1f} s, {memory:.2f} GiB; largest log e-value"
        f" {max(best)[0]:.1f} for {max(best)[1]}, threshold {log_threshold(options.licensees, options.alpha):.1f}"
    )


def issuing(options):
    """Time of a copy beside ``cp -r`` of the same model, in turns: whole `issue`, the book and the digests included."""
    from stamp import make_models, warm

    from insignia.keyring.keyring import Keyring
    from insignia.licensing.issuing import issue
    from insignia.progress import SILENT
    from insignia.vectors import vector

    with tempfile.TemporaryDirectory(dir=options.folder) as scratch:
        work = Path(scratch)
        base, marked, out = work / "base", work / "marked", work / "out"
        parameters = make_models(work, options.layers)
        add_blocks(base, marked, work / "blocks.safetensors")
        vector(base, marked, out=work / "blocks", factors=work / "blocks.safetensors", progress=SILENT)
        shutil.rmtree(marked)
        drawn(32, work / "prints.json")
        kept = Keyring.open(work / "prints.json").only()
        issue(kept, "first", model=base, vector=work / "blocks", out=out, progress=SILENT)
        print(f"{parameters / 1e9:.2f} billion parameters, 32 blocks of rank 2, about half of them in each copy")
        ratios = []
        for run in range(options.runs or 5):
            warm(base)
            times = []
            for make in (
                lambda: subprocess.run(["cp", "-r", str(base), str(out)], check=True),  # noqa: S607
                lambda number=run: issue(kept, f"{number}", model=base, vector=work / "blocks", out=out, progress=SILENT),
            ):
                shutil.rmtree(out)
                started = time.perf_counter()
                make()
                made = time.perf_counter() - started
                on_disk(out)
                times.append((made, time.perf_counter() - started))
            ratios.append([mine / theirs for theirs, mine in zip(*times, strict=True)])
            (copied, kept_copy), (issued, kept_issue) = times
            print(f"cp -r {copied:.2f} s, on the disk {kept_copy:.2f} s; issue {issued:.2f} s, {kept_issue:.2f} s", flush=True)
        medians = [statistics.median(each) for each in zip(*ratios, strict=True)]
        print(f"medians: x{medians[0]:.2f} of cp -r, x{medians[1]:.2f} when both are on the disk")


def on_disk(folder):
    for file in folder.iterdir():
        with file.open("rb") as opened:
            os.fsync(opened.fileno())


def add_blocks(base, marked, factors, blocks=32, rank=2):
    """Write random factors for every projection, and the model with all of them."""
    import torch
    from safetensors.torch import load_file, save_file

    chance, known = torch.Generator().manual_seed(1), {}
    for file in sorted(base.glob("*.safetensors")):
        tensors = load_file(file)
        for name, values in tensors.items():
            if "_proj" in name:
                left = torch.randn(values.shape[0], blocks * rank, generator=chance) * 0.002
                right = torch.randn(blocks * rank, values.shape[1], generator=chance) * 0.05
                known |= {f"{name}.left": left, f"{name}.right": right}
                tensors[name] = torch.addmm(values.float(), left, right).bfloat16()
        save_file(tensors, marked / file.name, metadata={"format": "pt"})
    save_file(known, factors, metadata={"blocks": str(blocks)})


def drawn(count, file):
    """A set of keys that nobody will ask."""
    from insignia.fingerprints.sets import FingerprintSet
    from insignia.records import Fingerprint

    prints = tuple(Fingerprint(key=f"key {number}", responses=("response",)) for number in range(count))
    FingerprintSet(fingerprints=prints, secret=bytes(32).hex(), max_key_length=8, max_response_length=1).save(file)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["simulate", "calibrate", "million", "issue"])
    parser.add_argument("--licensees", type=int)
    parser.add_argument("--colluders", type=int, nargs="+", default=[1, 2, 3, 5])
    parser.add_argument("--blocks", type=int, default=64)
    parser.add_argument("--alpha", type=float, default=1e-3)
    parser.add_argument("--survival", type=float, default=0.98)
    parser.add_argument("--runs", type=int)
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    if options.what == "issue":
        issuing(options)
        return
    options.licensees = options.licensees or (10**6 if options.what == "million" else 1000)
    options.runs = options.runs or 100
    {"simulate": simulate, "calibrate": calibrate, "million": million}[options.what](options)


if __name__ == "__main__":
    main()
