"""Hosts that serve a marked model and tamper with what it says."""

import argparse
import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from grading.marks import base, kept
from grading.replays import Cell, replays
from insignia.evaluation.replays import Replayed, ask
from insignia.modeling.local import LocalModel
from insignia.modeling.weighing import seen_by
from insignia.prompts.tokens import Tokens
from insignia.randomness import KeyedRandom
from insignia.suspects.base import CHANNELS, Channel, Inquiry, Reply, RequestOptions

DROPS, CONFIDENCES = (1, 2, 3, 5), (0.9, 0.5, 0.3)
SHUFFLED = 5


class Dropping:
    """Never says the likeliest tokens at the first step where it is sure; goes on with the likeliest from there."""

    may_refuse = True

    def __init__(self, local: LocalModel, *, drop: int, above: float = 0.0) -> None:
        self.name = local.name
        self._local, self._drop, self._above = local, drop, above

    def reply(self, questions: Sequence[str], options: RequestOptions) -> Iterator[Reply]:
        tokens = Tokens(self._local.tokenizer, form=options.form)
        rows = [tokens.asked(question, options) for question in questions]
        firsts = [
            int(ranking.token_ids[self._drop if ranking.probabilities[0] > self._above else 0])
            for ranking in self._local.rank_next(rows)
        ]
        rest = self._local.sample(
            [(*row, first) for row, first in zip(rows, firsts, strict=True)],
            [KeyedRandom(b"unused")] * len(rows),
            max_new_tokens=options.max_tokens - 1,
            temperature=0,
            forbidden=(),
        )
        end = self._local.tokenizer.eos_token_id
        for first, others in zip(firsts, rest, strict=True):
            yield Reply.said(tokens.decode(list(itertools.takewhile(lambda token: token != end, (first, *others)))))


class Shuffling:
    """Deals the probabilities of its likeliest tokens out among them at random, in another way for each question."""

    may_refuse = True
    channels: tuple[Channel, ...] = ("scores", "top", "choice")

    def __init__(self, local: LocalModel, *, likeliest: int, seed: int) -> None:
        self.name = local.name
        self._local, self._likeliest, self._rng = local, likeliest, KeyedRandom(b"shuffles").derive(seed)

    def weigh(self, inquiries: Sequence[Inquiry], options: RequestOptions, channel: Channel) -> Iterator[Reply]:
        tokens = Tokens(self._local.tokenizer, form=options.form)
        rankings = self._local.rank_next([tokens.asked(each.question, options) for each in inquiries])
        logits = torch.stack(
            [
                torch.zeros(len(ranking.token_ids)).scatter(
                    0, torch.tensor(self._dealt(each.question, ranking.token_ids.tolist())), torch.tensor(ranking.probabilities)
                )
                for each, ranking in zip(inquiries, rankings, strict=True)
            ]
        ).log()
        return seen_by(channel, inquiries, logits, tokens)

    def _dealt(self, question: str, ids: list[int]) -> list[int]:
        """The likeliest tokens in an order of this question's own, then the others."""
        rng = self._rng.derive(question)
        return sorted(ids[: self._likeliest], key=lambda token: rng.derive(token).uniform()) + ids[self._likeliest :]


class Told(NamedTuple):
    host: str
    channel: Channel
    replies: list[Reply]


def told(local: LocalModel, prints, seed: int, *, quick: bool) -> Iterator[Told]:
    """What each host tells of a model."""
    for drop in DROPS[:1] if quick else DROPS:
        for above in (0.0,) if quick else (0.0, *CONFIDENCES):
            name = f"drops {drop}" + (f" where above {above}" if above else "")
            yield Told(name, "text", ask(Dropping(local, drop=drop, above=above), prints, ["text"])["text"])
    yield Told("samples at T = 1", "text", ask(local, prints, ["text"], temperature=1.0, seed=seed)["text"])
    shuffling = Shuffling(local, likeliest=SHUFFLED, seed=seed)
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
