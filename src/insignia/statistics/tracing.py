"""Tracing a leaked copy: an e-value against the innocence of each licensee.

A licensee's code word says which blocks of fingerprints its copy has. Each bit is 1 with a probability of its own, the block's
bias, and independent of all others. So whatever a suspect shows, and whoever made it, the code word of an innocent licensee is
independent of it. Given what was seen, a bet on bit i pays ``f(x) = P(seen | x) / P(seen)`` for any guess P at how the
suspect came about, which is 1 on average over x. The product over blocks is an e-value: it reaches N / alpha with probability
at most alpha / N, so among N innocent licensees none does with probability at least 1 - alpha (Markov, and Ville for a test
that stops early). No guess has to be right.

The guesses are the coalitions of 1 to 8 licensees with the strategies known from collusion-secure codes (Boneh and Shaw, IEEE
Trans. Inf. Theory 44, 1998; Tardos, J. ACM 55, 2008): taking blocks in turn, all that somebody has, those that everybody has,
by majority, by minority, at random. The capital is divided among them. A bet on a coalition that takes turns is Laarhoven's
interleaving decoder, which gains from every strategy (IEEE Trans. Inf. Forensics Security 11, 2016).

What is seen of a block is a likelihood ratio: how much likelier the replies to its keys are if the suspect has it. A block
that gave no answer has the ratio 1 and changes nothing.
"""

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from insignia.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "BETS",
    "KEPT",
    "STRATEGIES",
    "Bet",
    "Payoffs",
    "log_ratio",
    "log_ratio_of_gain",
    "log_sum",
    "log_threshold",
    "payoffs",
    "shown",
    "strategies",
]

KEPT = (0.98, 0.7, 0.35)
"""Shares of the fingerprints of a copy that may be left: as issued, after a user's training, after a merge by half."""

_KEPT_CAPITAL = (0.5, 0.3, 0.2)
_COALITIONS = {1: 0.4, 2: 0.2, 3: 0.14, 4: 0.1, 6: 0.09, 8: 0.07}  # size -> capital; the usual leak is one copy
_ERROR = 0.01  # chance that a coalition departs from its strategy at a block; no bet may lose all at once
# What a response gains in nats, by what is left of a copy as in KEPT: share of responses that gain at all, range where the
# block is in, mean and standard deviation where it is out.
_GAINED_KEPT = (0.98, 0.95, 0.9)
_GAINED_IN = ((3.5, 9.0), (2.5, 8.0), (1.2, 6.0))
_GAINED_OUT = ((1.1, 0.7), (0.7, 0.5), (0.4, 0.4))
_STRAY, _RANGE = 0.02, 20.0  # share of keys that are as likely anywhere in a range of so many nats
_LARGEST = 40.0  # log-ratios beyond are as good as certain

STRATEGIES = ("in_turn", "any", "all", "majority", "minority", "random")
"""How a coalition decides about a block that only some of its copies have."""


class Bet(NamedTuple):
    """A part of the capital and its guess at how the suspect came about."""

    capital: float
    """Share of the capital at the start."""
    shows: tuple[float, ...]
    """Probability that the suspect has a block which 0, 1, ... all members of the coalition have."""
    kept: int
    """Guess at the share of fingerprints left, as an index of ``KEPT``."""


def strategies(colluders: int) -> dict[str, tuple[float, ...]]:
    """For each different strategy of a coalition, the chances to show a block that 0, 1, ... all of its members have.

    A block that nobody has is never shown, one that all have always: no member can tell it from the model.

    Raises:
        InputError: there is nobody in the coalition.
    """
    if colluders < 1:
        raise InputError(f"a coalition of {colluders}; expected at least 1")
    inner = range(1, colluders)
    chances: dict[str, list[float]] = {
        "in_turn": [holders / colluders for holders in inner],
        "any": [1.0 for _ in inner],
        "all": [0.0 for _ in inner],
        "majority": [_more(holders, colluders - holders) for holders in inner],
        "minority": [_more(colluders - holders, holders) for holders in inner],
        "random": [0.5 for _ in inner],
    }
    found: dict[tuple[float, ...], str] = {}
    for name in STRATEGIES:
        found.setdefault((0.0, *chances[name], 1.0), name)
    return {name: shows for shows, name in found.items()}


def _more(some: int, others: int) -> float:
    return 0.5 if some == others else float(some > others)


def _bets() -> tuple[Bet, ...]:
    return tuple(
        Bet(capital * part / len(known), tuple(_ERROR + (1 - 2 * _ERROR) * chance for chance in shows), kept)
        for colluders, capital in _COALITIONS.items()
        for known in [strategies(colluders)]
        for shows in known.values()
        for kept, part in enumerate(_KEPT_CAPITAL)
    )


BETS = _bets()
"""Division of the capital among coalitions, strategies and shares left."""


def log_ratio(hits: int, misses: int, bound: float) -> tuple[float, ...]:
    """Log-likelihood ratio of a block's replies, the suspect having it against not, for each share in ``KEPT``.

    ``bound`` is how often a model without the block hits. Without replies it is 0: an erasure.

    Raises:
        InputError: the bound is not between 0 and 1.
    """
    if not 0 < bound < 1:
        raise InputError(f"a model without the block hits with chance {bound}; expected a number between 0 and 1")
    return tuple(hits * math.log1p(kept * (1 - bound) / bound) + misses * math.log1p(-kept) for kept in KEPT)


def log_ratio_of_gain(gain: float) -> tuple[float, ...]:
    """The same of a key whose response has gained so many nats of log-probability since the base, for each share in ``KEPT``.

    A block that is out moves its response a little, one that is in by 5 nats, or by 2 after a merge: see the figures of
    ``benchmarks/copies.py`` in docs/lab-log.md. The densities are guesses at both; a wrong one costs keys alone.
    """
    stray = _STRAY / _RANGE
    found = []
    for kept, (least, most), (mean, spread) in zip(_GAINED_KEPT, _GAINED_IN, _GAINED_OUT, strict=True):
        inside = (1 - _STRAY) / (most - least) if least <= gain <= most else 0.0
        outside = math.exp(-(((gain - mean) / spread) ** 2) / 2) / (spread * math.sqrt(2 * math.pi))
        ratio = (inside + stray) / ((1 - _STRAY) * outside + stray)
        found.append(math.log(kept * ratio + 1 - kept))
    return tuple(found)


def log_threshold(licensees: int, alpha: float) -> float:
    """Log e-value from which a licensee is named: all innocent ones together reach it with probability at most alpha.

    Raises:
        InputError: there is no licensee, or alpha is not between 0 and 1.
    """
    if licensees < 1 or not 0 < alpha < 1:
        raise InputError(f"{licensees} licensees at alpha {alpha}; expected at least one, and an alpha between 0 and 1")
    return math.log(licensees) - math.log(alpha)


class Payoffs(NamedTuple):
    """What every bet pays for every bit, as logarithms."""

    without: "NDArray[np.float64]"
    """(bets, blocks) for a licensee without the block."""
    having: "NDArray[np.float64]"
    """(bets, blocks) for a licensee with the block."""

    def log_e(self, words: "NDArray[np.bool_]") -> "NDArray[np.float64]":
        """Log e-values (licensees,) of code words (licensees, blocks); in fp32 but for sums, to 1e-4 or better."""
        import numpy as np  # noqa: PLC0415  a light command loads none

        step = (self.having - self.without).astype(np.float32)
        start = self.without.sum(1) + np.log([bet.capital for bet in BETS])
        return log_sum(words.astype(np.float32) @ step.T + start)


def payoffs(biases: "NDArray[np.float64]", log_ratios: "NDArray[np.float64]") -> Payoffs:
    """What the bets pay, for the biases (blocks,) of the code and what was seen (shares in ``KEPT``, blocks).

    Raises:
        InputError: the shapes differ, or a bias is not between 0 and 1.
    """
    import numpy as np  # noqa: PLC0415

    if log_ratios.shape != (len(KEPT), len(biases)) or not ((biases > 0) & (biases < 1)).all():
        raise InputError(
            f"{len(biases)} biases and log-ratios of shape {log_ratios.shape}; expected {len(KEPT)} for each bias, and biases"
            " between 0 and 1"
        )
    seen = np.exp(np.clip(log_ratios, -_LARGEST, _LARGEST))
    chances = {bet.shows: shown(bet.shows, biases) for bet in BETS}
    without, having = [], []
    for bet in BETS:
        # P(seen | x) up to a factor, for a licensee without the block and one with it.
        one, other = (chance * seen[bet.kept] + 1 - chance for chance in chances[bet.shows])
        average = biases * other + (1 - biases) * one
        without.append(np.log(one / average))
        having.append(np.log(other / average))
    return Payoffs(np.array(without), np.array(having))


def shown(shows: tuple[float, ...], biases: "NDArray[np.float64]") -> "tuple[NDArray[np.float64], NDArray[np.float64]]":
    """Chance (blocks,) that a coalition shows each block, if one given member lacks it and if they have it."""
    import numpy as np  # noqa: PLC0415

    others = len(shows) - 2
    lacking, having = np.zeros_like(biases), np.zeros_like(biases)
    for holders in range(others + 1):
        chance = math.comb(others, holders) * biases**holders * (1 - biases) ** (others - holders)
        lacking += chance * shows[holders]
        having += chance * shows[holders + 1]
    return lacking, having


def log_sum(logs: "NDArray[np.floating[Any]]") -> "NDArray[np.float64]":
    """Logarithm of the sum over the last axis of numbers given by their logarithms."""
    import numpy as np  # noqa: PLC0415

    largest = logs.max(-1, keepdims=True)
    found: NDArray[np.float64] = largest[..., 0] + np.log(np.exp(logs - largest).sum(-1))
    return found
