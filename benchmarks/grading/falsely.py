"""How often innocents are accused, in every channel, whenever one stops."""

import argparse
import json
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from innocence.verdicts import at_most, redrawn

from grading.liars import Everyone, Innocent
from grading.marks import base, keys_kept
from grading.tables import Array, Drawn, Ordered, e_values
from insignia.evaluation.replays import replay, wanted
from insignia.fingerprints.sets import FingerprintSet
from insignia.randomness import KeyedRandom
from insignia.suspects.base import CHANNELS, Channel, Reply
from insignia.verification.matching import Expected

ALPHAS = (1e-2, 1e-3, 1e-6)
CHECKED = 3  # units of each innocent, channel and strategy that the real verdict judges too, for the first innocents
WAYS = ("fixed", "any_time")


class Unit(NamedTuple):
    """All redrawn secrets before one innocent, by one channel."""

    strategy: str
    channel: str
    innocent: str
    kind: str
    fixed: Array
    """p-values when all keys are asked."""
    any_time: Array
    """p-values at the moment that suits the accuser best."""


def table(channel: Channel, replies: list[Reply], searches: Mapping[int, Expected]) -> Drawn | Ordered:
    if len(searches[0].order) > 1:
        return Ordered(replies, searches)
    return Drawn(replies, searches, graded=channel in {"scores", "top"})


def units(innocent: Innocent, sets: Mapping[str, FingerprintSet], redraws: int) -> Iterator[Unit]:
    for strategy, told in innocent.told.items():
        searches = wanted(sets[strategy])
        seed = int.from_bytes(KeyedRandom(b"redraws").derive(innocent.name, strategy).secret[:8], "big")
        rng, found = np.random.default_rng(seed), {}
        count = redraws // 4 if len(searches[0].order) > 1 else redraws  # an order takes twenty times as long
        for channel, replies in told.items():
            found[channel] = table(channel, replies, searches)
            yield unit(strategy, channel, innocent, e_values(found[channel].capital, found[channel].growths(rng, count)))
        if innocent.kind == "liars":
            few = table("scores", told["scores"], searches)
            silent = table("scores", [_tied_below(each) for each in told["scores"]], searches)
            yield unit(strategy, "adaptive", innocent, adaptive(few, silent, rng, count))


def unit(strategy: str, channel: str, innocent: Innocent, found: tuple[Array, Array]) -> Unit:
    last, peak = found
    return Unit(strategy, channel, innocent.name, innocent.kind, np.minimum(1, 1 / np.maximum(last, 1e-300)), 1 / peak)


def adaptive(whole: Drawn | Ordered, part: Drawn | Ordered, rng: np.random.Generator, count: int) -> tuple[Array, Array]:
    """One who sees the owner's capital, and while it is above its start shows no more than which candidate comes first.

    No suspect knows so much; the bound must hold all the same.
    """
    seed = int(rng.integers(2**63))
    held, peak = whole.capital[None], np.ones(1)
    pairs = zip(*(one.growths(np.random.default_rng(seed), count) for one in (whole, part)), strict=True)  # the same secrets
    for shown, hidden in pairs:
        held = held * np.where(held.sum(1, keepdims=True) > 1, hidden, shown)
        peak = np.maximum(peak, held.sum(1))
    return held.sum(1), peak


def _tied_below(reply: Reply) -> Reply:
    best = max(reply.scores)
    return reply.model_copy(update={"scores": tuple(-1.0 if score == best else -2.0 for score in reply.scores)})


def disagreement(innocent: Innocent, sets: Mapping[str, FingerprintSet]) -> float:
    """The largest difference of log p-values between these tables and the real verdict, over a few redrawn secrets."""
    largest = 0.0
    for strategy, told in innocent.told.items():
        for number in range(CHECKED):
            prints = again(sets[strategy], KeyedRandom(b"checks").derive(innocent.name, number))
            searches = wanted(prints)
            for channel, replies in told.items():
                found = table(channel, replies, searches)
                _, peak = e_values(found.capital, found.growths_for(searches))
                judged = replay(prints, searches, channel, replies, range(len(prints)))
                largest = max(largest, abs(judged.log_p_of_all + math.log(peak[0])))
    return largest


def again(prints: FingerprintSet, chance: KeyedRandom) -> FingerprintSet:
    """The same keys and candidates with responses, and orders where there are any, drawn by another secret."""
    drawn = redrawn(prints, chance.secret)
    if prints.fingerprints[0].order is None:
        return drawn
    fingerprints = []
    for slot, each in enumerate(drawn):
        rng = chance.derive("order", slot)
        order = tuple(sorted(range(len(each.candidates)), key=lambda place: rng.derive(place).uniform()))
        first = each.candidates[order[0]]
        response = {"responses": (first.text,), "effective_responses": (first.text,), "response_ids": ((first.token_id,),)}
        fingerprints.append(each.model_copy(update={"order": order} | response))
    return drawn.model_copy(update={"fingerprints": tuple(fingerprints)})


def innocents(options: argparse.Namespace, folder: Path) -> None:
    sets = {strategy: keys_kept(folder, strategy, 1, count=options.keys) for strategy in options.strategies}
    found: list[Unit] = []
    judged, largest = 0, 0.0
    for number, innocent in enumerate(Everyone(sets, base(), folder).all(quick=options.quick)):
        found += units(innocent, sets, options.redraws)
        if number % 8 == 0:
            judged += CHECKED * sum(map(len, innocent.told.values()))
            largest = max(largest, disagreement(innocent, sets))
    print(f"{number + 1} innocents, {options.redraws} secrets each, a quarter as many orders;")
    print(f"{judged} units judged by the real test too:")
    print(f"largest difference of a p-value's logarithm {largest:.1e}\n")
    rows = [row(*each, alpha) for each in grouped(found) for alpha in ALPHAS]
    show(rows)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    if options.plot:
        from innocence.plot import draw

        draw(pooled(found), options.plot, groups=GROUPS, smallest=1e-6)


def grouped(found: list[Unit]) -> Iterator[tuple[str, str, list[Unit]]]:
    groups: dict[tuple[str, str], list[Unit]] = defaultdict(list)
    for one in found:
        groups[one.strategy, one.channel].append(one)
    for strategy in dict.fromkeys(one.strategy for one in found):
        for channel in (*CHANNELS, "adaptive"):
            yield strategy, channel, groups[strategy, channel]


def row(strategy: str, channel: str, own: list[Unit], alpha: float) -> dict:
    count = sum(len(one.fixed) for one in own)
    accused = {way: sum(int((getattr(one, way) <= alpha).sum()) for one in own) for way in WAYS}
    worst = max(own, key=lambda one: int((one.any_time <= alpha).sum()))
    of_worst = int((worst.any_time <= alpha).sum())
    most = at_most(len(worst.fixed), alpha, 0.01 / len(own))
    return {"strategy": strategy, "channel": channel, "alpha": alpha, "n": count, "at_most": at_most(count, alpha)} | {
        "accused": accused,
        "worst": {"name": worst.innocent, "accused": of_worst, "at_most": most, "n": len(worst.fixed)},
    }


def show(rows: list[dict]) -> None:
    titles = ("strategy", "channel", "alpha", "n", "fixed", "any time", "at most", "worst innocent, any time")
    print("{:16} {:9} {:>6} {:>8} {:>8} {:>9} {:>8}   {}".format(*titles))
    for told in rows:
        worst = told["worst"]
        print(
            f"{told['strategy']:16} {told['channel']:9} {told['alpha']:6} {told['n']:8} {told['accused']['fixed']:8} "
            f"{told['accused']['any_time']:9} {told['at_most']:8}   {worst['accused']} of {worst['n']} "
            f"(at most {worst['at_most']}) {worst['name']}",
            flush=True,
        )


GROUPS = {
    "scores, all of the order": (("ranked scores", "ranked adaptive"), "#0f9d76"),
    "top 20, all that is seen of the order": (("ranked top",), "#e0701a"),
    "choice or text, a place in the order": (("ranked choice", "ranked text"), "#b061c9"),
    "scores or top 20, one drawn response": (
        tuple(f"inverse_nucleus {channel}" for channel in ("scores", "top", "adaptive")),
        "#2f86d6",
    ),
    "choice or text, one drawn response": (("inverse_nucleus choice", "inverse_nucleus text"), "#c9a000"),
}


def pooled(found: list[Unit]) -> dict[str, dict[str, list[float]]]:
    """Strategy and channel -> way of looking -> p-values, in order."""
    return {
        f"{strategy} {channel}": {way: np.sort(np.concatenate([getattr(one, way) for one in own])).tolist() for way in WAYS}
        for strategy, channel, own in grouped(found)
    }
