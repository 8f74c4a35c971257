"""How many keys prove a mark after each attack, over the attack's strengths, as figures."""

import math
from collections.abc import Iterator, Sequence

from insignia.evaluation.robustness import AttackOutcome, Robustness
from insignia.figures import Axis, Curve, Figure
from insignia.suspects.base import CHANNELS

__all__ = ["survival_by_strength"]

_NEVER = 1.7  # what is not proven is drawn at so many times the keys of the largest set
_MOST_CURVES = 8


def survival_by_strength(result: Robustness) -> Iterator[Figure]:
    """For each attack of several strengths, how many keys prove each mark, by the strongest channel and by text."""
    own = [row for row in result.rows if row.suspect == "marked"]
    never = math.ceil(_NEVER * max((mark.num_fingerprints for mark in result.marks), default=1))
    for attack in dict.fromkeys(row.attack for row in own):
        rows = [row for row in own if row.attack == attack]
        strengths = list(dict.fromkeys(row.strength for row in rows))
        curves = list(_survivals(rows, strengths, never))[:_MOST_CURVES]
        if len(strengths) > 1 and curves:
            ticks = tuple((float(number), name) for number, name in enumerate(strengths))
            about = f"Keys that the test of 'verify' asked until it was proven that the mark is there, after {attack}."
            keys = Axis("keys until proof", logarithmic=True, ticks=_keys(never), least=0.9, most=never * 1.1)
            yield Figure(f"After {attack}", about, Axis("", ticks=ticks), keys, tuple(curves))


def _survivals(rows: Sequence[AttackOutcome], strengths: Sequence[str], never: int) -> Iterator[Curve]:
    for mark in dict.fromkeys(row.mark for row in rows):
        own = [row for row in rows if row.mark == mark]
        channels = [channel for channel in CHANNELS if any(channel in row.by_channel for row in own)]
        for channel in dict.fromkeys((*channels[:1], *channels[-1:])):
            proofs = [(strengths.index(row.strength), row.by_channel[channel]) for row in own if channel in row.by_channel]
            yield Curve(
                f"{mark}, {channel}",
                tuple((float(place), float(proof.keys if proof.owned else never)) for place, proof in proofs),
            )


def _keys(never: int) -> tuple[tuple[float, str], ...]:
    numbers = [number for number in (1, 3, 6, 10, 20, 40, 64, 128, 256, 512, 1024) if number < never * 0.8]
    return (*((float(number), str(number)) for number in numbers), (float(never), "not proven"))
