"""What a host can tell keys from ordinary prompts by: AUROC with 95 % intervals, on the starter.

    python benchmarks/stealth.py keys [--seeds 0 1 2]                       # what the base sees of the keys, by selection
    python benchmarks/stealth.py margins [--seeds 0 1] [--margins 1 2 3 5]  # the marked model's confidence at keys, by margin

Keys are matched (the default) or sampled (OML 1.0's). AUROC 0.5 is no difference. ``beyond T`` is the share of keys, and of
ordinary prompts, after which the marked model's largest probability exceeds T: what a filter at T finds, and what it costs.
"""

import argparse
import math
import time

from insignia.embedding import FullFineTune, Limits, RunOptions, embed
from insignia.generation import STRATEGIES, generate
from insignia.generation.ordinary import beginnings
from insignia.generation.vocabulary import Vocabulary
from insignia.modeling.local import LocalModel
from insignia.prompts.prompter import Prompter
from insignia.starter import heldout_paragraphs


def make(local: LocalModel, options: argparse.Namespace, selection: str, seed: int):
    """A set that the seed repeats (a benchmark needs no secret)."""
    strategy = STRATEGIES.build({"name": options.strategy, "key_selection": selection})
    return generate(local, strategy, num_fingerprints=options.size, secret=seed.to_bytes(32, "big"))


def keys(options: argparse.Namespace) -> None:
    starter = LocalModel("starter")
    print("keys     seed   n  ordinary   perplexity           length               confidence           CPU seconds")
    for selection in options.selection:
        for seed in options.seeds:
            started = time.process_time()
            found = make(starter, options, selection, seed).stealth
            cells = "  ".join(f"{each!s:19}" for each in (found.perplexity, found.length, found.confidence))
            spent = time.process_time() - started
            print(f"{selection:8} {seed:4} {options.size:3} {found.num_ordinary:9}   {cells}  {spent:6.1f}", flush=True)


def confidences(local: LocalModel, prompter: Prompter, rows) -> list[float]:
    return [float(ranking.probabilities[0]) for ranking in local.rank_next([prompter.question(row) for row in rows])]


def margins(options: argparse.Namespace) -> None:
    starter = LocalModel("starter")
    print("keys     margin seed    FSR     perplexity  confidence, AUROC    beyond 0.9     beyond 0.5     seconds")
    for selection in options.selection:
        for seed in options.seeds:
            prints = make(starter, options, selection, seed)
            prompter = Prompter.for_set(prints, starter.tokenizer)
            ordinary = beginnings(heldout_paragraphs(), prompter, Vocabulary(prompter))
            for margin in options.margins:
                method = FullFineTune(target_margin=margin)
                marked = embed("starter", prints, method, limits=Limits(min_fsr=0.0), run=RunOptions(seed=seed))
                report = marked.report
                ratio = math.exp(report.heldout_loss_after - report.heldout_loss_before)
                ours = confidences(marked, prompter, [prompter.key_ids(each) for each in prints])
                theirs = confidences(marked, prompter, ordinary)
                beyond = "   ".join(f"{share(ours, t):4.0%} / {share(theirs, t):4.0%}" for t in (0.9, 0.5))
                print(
                    f"{selection:8} {margin:6g} {seed:4}  {report.fsr:7.4f}  x{ratio:.4f}     {report.confidence!s:19}"
                    f"  {beyond}   {report.seconds:6.1f}",
                    flush=True,
                )


def share(values: list[float], threshold: float) -> float:
    return sum(value > threshold for value in values) / len(values)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["keys", "margins"])
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--margins", type=float, nargs="+", default=[1.0, 2.0, 3.0, 5.0])
    parser.add_argument("--strategy", default="inverse_nucleus")
    parser.add_argument("--selection", nargs="+", default=["sampled", "matched"], choices=["sampled", "matched"])
    options = parser.parse_args()
    {"keys": keys, "margins": margins}[options.what](options)


if __name__ == "__main__":
    main()
