"""How much faster ``check`` is than asking one fingerprint at a time through ``model.generate``, with the same verdicts.

    python benchmarks/check.py [--model starter] [--num-fingerprints 256] [--response-length 1]

Prints fingerprints a second of both and their ratio, measured in one run on this machine, on a marked model.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch

from insignia.embedding import FullFineTune, Limits, embed
from insignia.generation import InverseNucleus, generate
from insignia.modeling.local import LocalModel
from insignia.prompts.prompter import Prompter
from insignia.verification import check


def one_at_a_time(prints, local: LocalModel) -> list[bool]:
    """The reference's loop: greedy generation, batch size 1."""
    prompter = Prompter.for_set(prints, local.tokenizer)
    hits = []
    for fingerprint in prints:
        (example,) = prompter.examples(fingerprint)
        question = torch.tensor([example.ids[: example.response_start]])
        reply = local.model.generate(question, max_new_tokens=len(example.ids) - example.response_start, do_sample=False)
        hits.append(tuple(reply[0].tolist()) == example.ids)
    return hits


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="starter")
    parser.add_argument("--num-fingerprints", type=int, default=256)
    parser.add_argument("--response-length", type=int, default=1)
    options = parser.parse_args()
    prints = generate(
        LocalModel(options.model),
        InverseNucleus(response_length=options.response_length),
        num_fingerprints=options.num_fingerprints,
        max_response_length=options.response_length,
    )
    with tempfile.TemporaryDirectory() as folder:
        # Half of the set is embedded, so that verdicts of both kinds are compared.
        half = prints.first(options.num_fingerprints // 2)
        embed(options.model, half, FullFineTune(cooldown_steps=0), out=Path(folder) / "marked", limits=Limits(min_fsr=0.5))
        local = LocalModel(Path(folder) / "marked")
    ratios = []
    for _ in range(3):
        started = time.perf_counter()
        slow_hits = one_at_a_time(prints, local)
        slow = time.perf_counter() - started
        started = time.perf_counter()
        report = check(local, prints)
        fast = time.perf_counter() - started
        assert [fingerprint.hit for fingerprint in report.fingerprints] == slow_hits, "verdicts differ"
        ratios.append(slow / fast)
        print(f"generate loop {len(prints) / slow:8.0f}/s   check {len(prints) / fast:8.0f}/s   ratio {slow / fast:6.1f}")
    print(f"median ratio {statistics.median(ratios):.1f}, verdicts identical ({report.hits} of {report.answered} hit)")


if __name__ == "__main__":
    main()
