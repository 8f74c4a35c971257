"""Hosts that serve a marked model and tamper with what it says."""

import argparse
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from grading.marks import base, kept
from grading.replays import Cell, replays
from insignia.attacks.shuffle_ranks import ShuffleRanks
from insignia.attacks.suppress_topk import SuppressTopK
from insignia.evaluation.replays import Replayed, ask
from insignia.modeling.local import LocalModel
from insignia.suspects.base import CHANNELS, Channel, Reply

DROPS, CONFIDENCES = (1, 2, 3, 5), (0.9, 0.5, 0.3)
SHUFFLED = 5


class Told(NamedTuple):
    host: str
    channel: Channel
    replies: list[Reply]


def told(local: LocalModel, prints, seed: int, *, quick: bool) -> Iterator[Told]:
    """What each host tells of a model."""
    for drop in DROPS[:1] if quick else DROPS:
        for above in (0.0,) if quick else (0.0, *CONFIDENCES):
            name = f"drops {drop}" + (f" where above {above}" if above else "")
            dropping = SuppressTopK(count=drop, confidence=above)
            yield Told(name, "text", ask(dropping.wrap(local), prints, ["text"])["text"])
    yield Told("samples at T = 1", "text", ask(local, prints, ["text"], temperature=1.0, seed=seed)["text"])
    shuffling = ShuffleRanks(count=SHUFFLED, seed=seed).wrap(local)
    for channel, replies in ask(shuffling, prints, CHANNELS[:3]).items():
        yield Told(f"shuffles {SHUFFLED}, {channel}", channel, replies)


def hosts(options: argparse.Namespace, folder: Path) -> None:
    found: dict[tuple[str, str], list[Replayed]] = defaultdict(list)
    controls: dict[tuple[str, str], list[Replayed]] = defaultdict(list)
    for strategy in options.strategies:
        for seed in options.seeds:
            marked = kept(folder, strategy, seed, **options.how)
            for model, tests in ((LocalModel(marked.model, device="cpu"), found), (base(), controls)):
                for host, channel, replies in told(model, marked.prints, seed, quick=options.quick):
                    tests[host, strategy] += replays(marked.prints, channel, replies, seed=seed, orders=options.orders)
    print(f"seeds {options.seeds}, {options.orders} orders of the keys each: keys until owned at 1e-6, median")
    print("(least to most; p-value with all keys), share of tests that prove it; the same host before the unmarked base\n")
    print(f"{'':26}" + "".join(f"{strategy:52}" for strategy in options.strategies))
    for host in dict.fromkeys(host for host, _ in found):
        line = f"{host:26}"
        for strategy in options.strategies:
            cell, control = Cell.of(found[host, strategy]), Cell.of(controls[host, strategy])
            line += f"{cell!s:27} {cell.owned / cell.tests:4.0%}   base {control.owned} of {control.tests:<5} "
        print(line, flush=True)
