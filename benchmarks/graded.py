"""Graded evidence: how many keys prove a mark by each channel, and that no innocent is accused in any.

    python benchmarks/graded.py survival [--strategy inverse_nucleus] [--seeds 0 1 2] [--finetune] [--folder DIR] [--json FILE]
    python benchmarks/graded.py hosts [--strategies inverse_nucleus ranked] [--seeds 0 1 2] [--folder DIR]
    python benchmarks/graded.py innocents [--redraws 400] [--folder DIR] [--json FILE] [--plot FILE.svg]
    python benchmarks/graded.py gaps [--gaps 0.1 0.2 0.4] [--seeds 0] [--folder DIR]
    python benchmarks/graded.py tokens [--tokens 1 2] [--seeds 0] [--folder DIR]
    python benchmarks/graded.py ways [--seeds 0] [--folder DIR]
    python benchmarks/graded.py bets [--runs 1001]

survival: the starter is marked with 64 fingerprints (k = 16) and asked once by each channel after each attack; tests in nine
orders of the keys are replayed from its replies by the real verdict. The control of each row is the unmarked base after the
same attack. With --finetune (slow) also 1,000 steps of a user's fine-tuning of all weights.

hosts: a host that drops the likeliest tokens of the first step, always or where it is sure, that samples, or that shuffles
its likeliest tokens. The same host before the unmarked base is the control.

innocents: the unit is a pair (innocent, redrawn secret) as in innocents.py; all secrets of one innocent are computed at once,
from the package's payoffs, and some are judged by the real verdict too.

gaps: what `ranked` costs and survives by the gap between neighbours in the secret order (--order-gap).

tokens: the same by the number of response tokens that have a secret order.

ways: `ranked` by methods full, lora and embedding, stamped on a sibling, and rounded to two types of llama.cpp's files.

bets: what the division of the capital costs against the best single bet, and wins against hits.

Marks are made once and kept in --folder: FOLDER/STRATEGY+SEED/prints.json and model. Six minutes each on a busy core.
"""

import argparse
from pathlib import Path

from grading.bets import bets
from grading.falsely import innocents
from grading.gaps import gaps, tokens
from grading.hosts import hosts
from grading.survival import survival
from grading.ways import ways
from innocents import workplace

from insignia.embedding import FullFineTune
from insignia.generation import STRATEGIES


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["survival", "hosts", "innocents", "gaps", "tokens", "ways", "bets"])
    parser.add_argument("--quick", action="store_true", help="few attacks, hosts and innocents; brief embedding")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--orders", type=int, default=9, help="orders of the keys for each seed")
    parser.add_argument("--strategy", default="inverse_nucleus")
    both = [name for name in STRATEGIES.names() if name in {"inverse_nucleus", "ranked"}]
    parser.add_argument("--strategies", nargs="+", default=both)
    parser.add_argument("--keys", type=int, default=64, help="in each set that is not kept yet")
    parser.add_argument("--finetune", action="store_true")
    parser.add_argument("--redraws", type=int, default=400, help="secrets for each innocent; a quarter as many whole orders")
    parser.add_argument("--gaps", type=float, nargs="+", default=[0.1, 0.2, 0.4], help="in nats")
    parser.add_argument("--tokens", type=int, nargs="+", default=[1, 2], help="response tokens with an order")
    parser.add_argument("--runs", type=int, default=1001)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path, help="needs the extra 'report'")
    options = parser.parse_args(arguments)
    options.brief = {"epochs": 20, "cooldown_steps": 0, "reference_strength": 0} if options.quick else {}
    options.how = {"count": options.keys} | ({"method": FullFineTune(**options.brief)} if options.quick else {})
    if options.what == "bets":
        bets(options)
        return
    with workplace(options.folder) as folder:
        studies = {"survival": survival, "hosts": hosts, "innocents": innocents, "gaps": gaps, "tokens": tokens, "ways": ways}
        studies[options.what](options, folder)


if __name__ == "__main__":
    main()
