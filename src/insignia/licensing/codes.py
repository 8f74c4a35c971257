"""Code words: which blocks of fingerprints each licensee's copy has, drawn from the owner's secret and the licensee's name.

The code is Tardos' (J. ACM 55, 2008): each block has a bias, and a licensee has the block with that chance. Tardos draws
biases from the arcsine law. Its Gauss-Legendre version for c colluders has (c + 1) / 2 points, rounded down, and takes fewer
blocks (Nuida et al., Des. Codes Cryptogr. 52, 2009); for one or two colluders every bias is 1/2. Nothing has to be stored: the
secret and a name give the code word, for one licensee or a million.
"""

import functools
import unicodedata
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from insignia.errors import InputError
from insignia.keyring.prospects import PlanOptions
from insignia.randomness import KeyedRandom
from insignia.records import Fingerprint, Record
from insignia.statistics.collusion import TracingPlan, blocks_to_trace
from insignia.terminal import has_control_characters

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "MAX_BLOCKS",
    "MAX_COLLUDERS",
    "STRAY",
    "USUAL_COLLUDERS",
    "Code",
    "bias_law",
    "checked_name",
    "plan_tracing",
    "stray_rate",
]

MAX_BLOCKS = 2**16
MAX_COLLUDERS = 20
"""Largest coalition to plan for: a thousand licensees then take some ten thousand blocks."""

USUAL_COLLUDERS = 2
"""Coalitions that a code is best for where nobody says otherwise: its biases are best for a single leaker, too."""

STRAY = 0.01
"""How often a model without a block says its response, where that is no likely word: never, of the 288 keys of blocks that were
out of nine copies (benchmarks/copies.py). A wrong guess costs keys alone."""

_STEPS = 2**16  # a bit compares two random bytes with a bias, which is a multiple of 2^-16
_LONGEST_NAME = 200


class Code(Record):
    """A code: how many blocks there are, and for what coalitions it is best."""

    blocks: Annotated[int, Field(ge=1, le=MAX_BLOCKS)]
    colluders: Annotated[int, Field(ge=1, le=MAX_COLLUDERS)] = USUAL_COLLUDERS
    """Size of the coalitions that biases are chosen for. Smaller and larger ones are traced too, with more keys."""

    def biases(self, rng: KeyedRandom) -> "NDArray[np.float64]":
        """Chance (blocks,) that a licensee has each block; ``rng`` is that of the owner's secret."""
        return self._thresholds(rng) / _STEPS

    def words(self, rng: KeyedRandom, names: Sequence[str]) -> "NDArray[np.bool_]":
        """Code words (licensees, blocks). A million of 64 blocks take 13 seconds on one slow core."""
        import numpy as np

        drawing = rng.derive("licensees", "code word")
        content = b"".join(drawing.derive(name).stream(2 * self.blocks) for name in names)
        numbers = np.frombuffer(content, dtype=">u2").reshape(len(names), self.blocks)
        return numbers < self._thresholds(rng)

    def seed(self, rng: KeyedRandom, name: str) -> bytes:
        """What one licensee's code word is drawn from; it tells nothing of others."""
        return rng.derive("licensees", "code word").derive(name).secret

    def drawn(self, seed: bytes, biases: Sequence[float]) -> "NDArray[np.bool_]":
        """The code word (blocks,) that this seed draws with these biases."""
        import numpy as np

        numbers = np.frombuffer(KeyedRandom(seed).stream(2 * self.blocks), dtype=">u2")
        return np.asarray(numbers < np.round(np.array(biases) * _STEPS))

    def lawful(self, biases: Sequence[float]) -> bool:
        """Whether there is one bias for each block, and each is one of the law's points."""
        points = {round(point * _STEPS) for point in bias_law(self.colluders)[0]}
        return len(biases) == self.blocks and all(bias * _STEPS in points for bias in biases)

    def _thresholds(self, rng: KeyedRandom) -> "NDArray[np.int64]":
        import numpy as np

        drawing = rng.derive("licensees", "bias")
        points, chances = bias_law(self.colluders)
        drawn = [drawing.derive(block).uniform() for block in range(self.blocks)]
        places = np.searchsorted(np.cumsum(chances[:-1]), drawn, side="right")
        return np.round(np.array(points)[places] * _STEPS).astype(np.int64)


@functools.cache
def bias_law(colluders: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Biases for that many colluders, and the chance of each.

    The points are the zeros of the Legendre polynomial of degree n = ceil(c / 2), moved to [0, 1]; the weight of z is
    proportional to ``P_n'(z)^-2 (1 - z^2)^-3/2`` (Nuida et al. 2009, theorem 3).
    """
    import numpy as np

    degree = (colluders + 1) // 2
    zeros, _ = np.polynomial.legendre.leggauss(degree)
    slopes = np.polynomial.Legendre.basis(degree).deriv()(zeros)
    weights = slopes**-2.0 * (1 - zeros**2) ** -1.5
    return tuple(map(float, (1 + zeros) / 2)), tuple(map(float, weights / weights.sum()))


def stray_rate(fingerprint: Fingerprint) -> float:
    """How often a model without the block says the response: seldom, unless a candidate was the first choice of the base."""
    candidates = fingerprint.candidates or ()
    return STRAY if all(candidate.rank for candidate in candidates) else 1 / len(candidates)


def plan_tracing(options: PlanOptions, prints: Iterable[Fingerprint] = ()) -> TracingPlan:
    """How many blocks trace a leak, for what the options assume.

    A reply to a block that is lost or absent hits by chance, as often as ``trace`` takes it to for these fingerprints, or for
    those of the default strategy.

    Raises:
        InputError: there are no licensees or too many colluders, or no number of blocks is enough.
    """
    if options.licensees is None:
        raise InputError("expected a number of licensees")
    if options.null is not None:
        raise InputError(
            "a plan for licensees has no --null: 'trace' takes how often an innocent model hits from the set itself"
        )
    if options.colluders > options.licensees:
        raise InputError(
            f"{options.colluders} colluders are more than the {options.licensees} licensees; give fewer --colluders"
        )
    points, chances = bias_law(options.colluders)
    return blocks_to_trace(
        points,
        chances,
        licensees=options.licensees,
        colluders=options.colluders,
        alpha=options.alpha / (options.suspects * options.per_block),  # a trace looks after each round
        power=options.power,
        survival=options.survival,
        per_block=options.per_block,
        bound=max(map(stray_rate, prints), default=STRAY),
    )


def checked_name(name: str) -> str:
    """The name of a licensee, if it is one that can be printed and cannot be mistaken for another.

    Raises:
        InputError: it is empty, too long, has control characters or space at an end, or is not in Unicode's form NFC.
    """
    if not name or len(name) > _LONGEST_NAME or has_control_characters(name) or name != name.strip():
        raise InputError(
            f"a licensee's name has {len(name)} characters; expected 1 to {_LONGEST_NAME} that can be printed, without space at"
            " its ends"
        )
    if unicodedata.normalize("NFC", name) != name:
        raise InputError("a licensee's name is not in Unicode's form NFC, so two names could look alike; write it in NFC")
    return name
