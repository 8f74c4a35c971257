"""Keys until proof by how much of a mark is left: the division of the capital against the best single bet, and against hits."""

import argparse

import numpy as np

from grading.tables import CAPITAL, STAKED, growth_of, hit_growth
from insignia.statistics.ranks import Place

K, KEYS = 16, 512
FIRST = (1.0, 0.9, 0.8, 0.69, 0.5, 0.3, 0.2)
MOVED = (1, 2, 3, 5)
ALPHA = 1e-6
AT_ONCE = 50  # tests, for the sake of memory


def keys_until(capital: np.ndarray) -> np.ndarray:
    """(tests, keys, ...) -> the first key after which it is at least 1/alpha, or infinity."""
    proven = capital >= 1 / ALPHA
    return np.where(proven.any(1), proven.argmax(1) + 1.0, np.inf)


def medians(places: np.ndarray) -> dict[str, float]:
    """Of tests whose keys' responses came at these places, (tests, keys), from 1."""
    on_places = np.stack([growth_of(((Place(place, place, K),),)) for place in range(1, K + 1)])
    on_hits = np.stack([hit_growth(hit=False, bound=1 / K), hit_growth(hit=True, bound=1 / K)])
    together, alone, hits = [], [], []
    with np.errstate(over="ignore"):  # long after the proof
        for some in np.array_split(places, -(-len(places) // AT_ONCE)):
            grown = on_places[some - 1].cumprod(1)
            alone.append(keys_until(grown))
            together.append(keys_until(grown @ CAPITAL))
            hits.append(keys_until(on_hits[(some == 1).astype(int)].cumprod(1) @ STAKED))
    return {
        "bets on places": float(np.median(np.concatenate(together))),
        "the best bet alone": float(np.median(np.concatenate(alone), axis=0).min()),
        "hits": float(np.median(np.concatenate(hits))),
    }


def bets(options: argparse.Namespace) -> None:
    rng = np.random.default_rng(0)
    size = (options.runs, KEYS)
    print(f"k = {K}, alpha = {ALPHA:g}, {options.runs} tests of up to {KEYS} keys: median keys until proof\n")
    cases = {f"first at {share:4.0%} of keys, else any other place": shares(rng, share, size) for share in FIRST}
    cases |= {f"always at place {1 + by}": np.full((1, KEYS), 1 + by) for by in MOVED}
    cases |= {f"at {share:.0%} of keys at place 4, else any": moved(rng, share, 4, size) for share in (0.7, 0.4)}
    cases |= {f"place p with weight {phi}^(p-1)": loose(rng, phi, size) for phi in (0.45, 0.65, 0.8)}
    for name, places in cases.items():
        found = medians(places)
        print(f"{name:48} " + "   ".join(f"{title} {keys:5g}" for title, keys in found.items()), flush=True)


def shares(rng: np.random.Generator, share: float, size: tuple[int, int]) -> np.ndarray:
    return np.where(rng.random(size) < share, 1, rng.integers(2, K + 1, size))


def moved(rng: np.random.Generator, share: float, place: int, size: tuple[int, int]) -> np.ndarray:
    return np.where(rng.random(size) < share, place, rng.integers(1, K + 1, size))


def loose(rng: np.random.Generator, phi: float, size: tuple[int, int]) -> np.ndarray:
    weights = phi ** np.arange(K)
    return rng.choice(np.arange(1, K + 1), size, p=weights / weights.sum())
