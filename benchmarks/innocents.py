"""Models without the mark are accused no oftener than alpha says, whenever one stops: 200 of them, before every null.

    python benchmarks/innocents.py [--quick] [--seeds 0 1 2] [--draws 2] [--folder DIR] [--json FILE] [--plot FILE.svg]

Innocents: fresh and briefly trained models, fine-tunes of the starter, these rounded to 8, 4 and 3 bits and merged, and
scripted adversaries that know every key and its candidates, but not the secret. Each answers all keys of two owners once;
replies do not depend on the order, so all verdicts are made from them, by the real ``verify``. Took 8 minutes of one thread
on a machine that was busy with other work; with --folder what was made is kept, and found again.

The unit is a pair (innocent, secret): for each, the responses are drawn anew from the candidates of an owner's keys, by a
secret of its own, as ``generate`` draws them. Given the replies nothing else is chance, so units are independent, and each is
accused with a chance of at most alpha: the number accused among n is at most binomial (n, alpha), whatever the models are.
"at most" is what a binomial number exceeds with a chance of 1 %; for the worst innocent of N, of 1 % / N. Responses of random
words have no candidates to be drawn from again: there an owner's own set serves for all innocents, and units are not
independent.

fixed: all keys are asked. any time: somebody looks after every reply, never gives up, and stops when it suits them.
verify: as it runs.
"""

import argparse
import contextlib
import json
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from innocence.models import Adversaries, Innocents
from innocence.verdicts import ALPHAS, Case, Judged, Replies, Test, at_most, judge, key_of, naive, redrawn

from insignia.fingerprints.sets import FingerprintSet
from insignia.generation import EnglishRandomResponse, Instructional, InverseNucleus, RandomWord, Strategy, generate
from insignia.modeling.local import LocalModel
from insignia.randomness import KeyedRandom
from insignia.starter import model_folder
from insignia.suspects.base import RequestOptions, TextModel
from insignia.verification.matching import Match

DRAWN = ("k = 3", "k = 16")
STRATEGIES: dict[str, tuple[Strategy, float]] = {  # and how many of an owner's number of keys are of it
    "k = 3": (InverseNucleus(nucleus_k=3), 1),
    "k = 16": (InverseNucleus(nucleus_k=16), 1),
    "one word": (EnglishRandomResponse(), 1),
    "random words": (RandomWord(), 1 / 4),
    "instructional": (Instructional(template="simple", near_misses=0, normals=("-",) * 4096), 1 / 8),
}
TESTS = (
    *(Test(strategy, "design") for strategy in DRAWN),
    Test("k = 16", "design", Match(how="within", looks=4), every_draw=False),
    *(Test(strategy, "declared 1/k", every_draw=False) for strategy in DRAWN),
    *(Test(strategy, "reference", every_draw=False) for strategy in STRATEGIES),
)
WAYS = ("fixed", "any_time", "verify")

Owner = dict[str, FingerprintSet]
"""Strategy -> set."""


class Unit(NamedTuple):
    model: str
    kind: str
    seed: int
    judged: Judged


def owners(starter: LocalModel, count: int, keys: int) -> list[Owner]:
    """English keys come from the secret alone, so three strategies share them, and the replies."""
    return [
        {
            name: generate(starter, strategy, num_fingerprints=int(keys * share), secret=owner.to_bytes(32, "big"))
            for name, (strategy, share) in STRATEGIES.items()
        }
        for owner in range(1, count + 1)
    ]


def ask(model: TextModel, everyone: Iterable[Owner]) -> Replies:
    """All keys of all owners, each asked once, for as much of a reply as the tests look at."""
    replies: Replies = {}
    for prints in (prints for owner in everyone for prints in owner.values()):
        keys = [key for key in map(key_of, prints) if key not in replies]
        manner = RequestOptions(form=prints.prompt_form, max_tokens=max(8, prints.max_response_length))
        replies |= {key: reply.text or None for key, reply in zip(keys, model.reply(keys, manner), strict=True)}
    return replies


class Study:
    """Verdicts as they come."""

    def __init__(self, everyone: list[Owner], base: Replies, *, seeds: list[int], draws: int) -> None:
        self.units: dict[Test, list[Unit]] = defaultdict(list)
        self.models: Counter[str] = Counter()
        """Of each kind."""
        self.naive: dict[tuple[str, str], Counter] = defaultdict(Counter)
        """(strategy, verdict) -> accused of each (kind, alpha), and of each kind how many were judged."""
        self._everyone, self._base, self._seeds, self._draws = everyone, base, seeds, draws

    def add(self, name: str, kind: str, replies: Replies) -> None:
        """One innocent, before every owner and secret."""
        self.models[kind] += 1
        chance = KeyedRandom(b"innocents").derive(name)
        for number, owner in enumerate(self._everyone):
            for test in (test for test in TESTS if test.strategy not in DRAWN):
                judged = judge(test, Case.of(owner[test.strategy]), replies, self._base)
                self.units[test].append(Unit(name, kind, self._seeds[0], judged))
            for seed, draw in ((seed, draw) for seed in self._seeds for draw in range(self._draws)):
                for strategy in DRAWN:
                    case = Case.of(redrawn(owner[strategy], chance.derive(number, seed, draw, strategy).secret))
                    for test in (test for test in TESTS if test.strategy == strategy and (test.every_draw or draw == 0)):
                        self.units[test].append(Unit(name, kind, seed, judge(test, case, replies, self._base)))
                    for verdict, accuses in naive(case, replies, self._base).items():
                        counts = self.naive[strategy, verdict]
                        counts[kind] += 1
                        counts.update((kind, alpha) for alpha, yes in zip(ALPHAS, accuses, strict=True) if yes)


def accused(units: list[Unit], way: str, alpha: float) -> int:
    if way == "verify":
        return sum(unit.judged.owned[ALPHAS.index(alpha)] for unit in units)
    return sum(getattr(unit.judged, way) <= alpha for unit in units)


def row(test: Test, units: list[Unit], alpha: float) -> dict:
    """What is told of a test at an alpha; counts by way of looking."""
    by_model, by_kind, by_seed = groups = tuple(defaultdict(list) for _ in range(3))
    for unit in units:
        for group, value in zip(groups, unit[:3], strict=True):
            group[value].append(unit)
    worst = max(by_model.values(), key=lambda own: accused(own, "any_time", alpha))
    return {
        "test": str(test),
        "alpha": alpha,
        "n": len(units),
        "at_most": at_most(len(units), alpha),
        "accused": {way: accused(units, way, alpha) for way in WAYS},
        "worst": {
            "model": worst[0].model,
            "n": len(worst),
            "at_most": at_most(len(worst), alpha, 0.01 / len(by_model)),
            "accused": accused(worst, "any_time", alpha),
        },
        "seeds": {seed: {way: accused(own, way, alpha) / len(own) for way in WAYS} for seed, own in by_seed.items()},
        "kinds": {kind: {"n": len(own)} | {way: accused(own, way, alpha) for way in WAYS} for kind, own in by_kind.items()},
    }


def p_values(units: Iterable[Unit]) -> dict[str, dict[str, list[float]]]:
    """Kind -> way of looking -> p-values, in order."""
    found = defaultdict(lambda: {"fixed": [], "any_time": []})
    for unit in units:
        for way, values in found[unit.kind].items():
            values.append(getattr(unit.judged, way))
    return {kind: {way: sorted(values) for way, values in ways.items()} for kind, ways in found.items()}


def show(study: Study, rows: list[dict]) -> None:
    print(f"{sum(study.models.values())} innocents:", ", ".join(f"{count} {kind}" for kind, count in study.models.items()))
    titles = ("test", "alpha", "n", "fixed", "any time", "verify", "at most", "seeds, any time %", "worst innocent, any time")
    print("\n{:24} {:>6}  {:>6}  {:>6} {:>8} {:>7} {:>7}   {:18}  {}".format(*titles))
    for told in rows:
        shares = [100 * share["any_time"] for share in told["seeds"].values()]
        worst = told["worst"]
        print(
            f"{told['test']:24} {told['alpha']:6}  {told['n']:6}  {told['accused']['fixed']:6} {told['accused']['any_time']:8} "
            f"{told['accused']['verify']:7} {told['at_most']:7}   {min(shares):.3f} to {max(shares):.3f}      "
            f"{worst['accused']} of {worst['n']} (at most {worst['at_most']}) {worst['model']}"
        )
    print("\naccused of n at alpha 0.05: fixed, any time, verify")
    for told in (told for told in rows if told["alpha"] == ALPHAS[0]):
        kinds = (f"{kind} {'/'.join(str(of[way]) for way in WAYS)} of {of['n']}" for kind, of in told["kinds"].items())
        print(f"{told['test']:24} ", ";  ".join(kinds))
    print("\nwhat other verdicts accuse, % at alpha", *ALPHAS)
    for (strategy, verdict), counts in study.naive.items():
        kinds = (f"{kind} {'/'.join(f'{100 * counts[kind, a] / counts[kind]:.3g}' for a in ALPHAS)}" for kind in study.models)
        print(f"{strategy + ', ' + verdict:42} ", ";  ".join(kinds))


def run(folder: Path, options: argparse.Namespace) -> Study:
    starter = LocalModel(model_folder(), device="cpu")  # a folder named "starter" may be about
    everyone = owners(starter, 1 if options.quick else 2, 16 if options.quick else 64)
    base = ask(starter, everyone)
    study = Study(everyone, base, seeds=options.seeds, draws=options.draws)
    study.add("the starter", "base", base)
    few, many = ({key_of(print_): print_.candidates for owner in everyone for print_ in owner[which]} for which in DRAWN)
    for name, kind, replies in Adversaries(few, many, base).all(seeds=1 if options.quick else 9):
        study.add(name, kind, replies)
    started = time.perf_counter()
    innocents = Innocents(starter, folder, lambda model: ask(model, everyone), tuple(base))
    for name, kind, replies in innocents.all(quick=options.quick):
        study.add(name, kind, replies)
        print(f"{time.perf_counter() - started:6.0f} s  {name}", flush=True)
    return study


@contextlib.contextmanager
def workplace(folder: Path | None) -> Iterator[Path]:
    if folder is not None:
        yield folder
        return
    with tempfile.TemporaryDirectory() as temporary:
        yield Path(temporary)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a few innocents and one owner, in seconds")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--draws", type=int, default=2, help="secrets for each innocent, owner and seed")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path, help="needs the extra 'report'")
    options = parser.parse_args(arguments)
    with workplace(options.folder) as folder:
        study = run(folder, options)
    rows = [row(test, units, alpha) for test, units in study.units.items() for alpha in ALPHAS]
    show(study, rows)
    values = p_values(unit for test in TESTS if test.null == "design" and test.match == Match() for unit in study.units[test])
    if options.json:
        options.json.write_text(json.dumps({"rows": rows, "p_values": values}, indent=1) + "\n", encoding="utf-8")
    if options.plot:
        from innocence.plot import draw

        draw(values, options.plot)


if __name__ == "__main__":
    main()
