"""How many keys a verdict costs: the median until proof of a healthy mark, and of one of which 30 % survived.

    python benchmarks/verify.py [--runs 401] [--alpha 1e-6]

Runs the real test, `verify`, on a scripted model: another set, another order of keys and other survivors each time. Each
line has k, the share that survived, what a lost key makes the model say, the median number of keys asked until proof with
the tenth and ninetieth percentile and the range (inf: the test gave up), and the share proven. Lost keys that leave
the candidates are where the conditional null helps; lost keys that give a candidate at random are an innocent model's worst.
For each, the ratio to the fewest keys that could prove anything: as many hits as 1/alpha takes. 5 minutes.
"""

import argparse
import math
import random

from insignia.fingerprints.sets import FingerprintSet
from insignia.randomness import KeyedRandom
from insignia.records import Candidate, Fingerprint
from insignia.suspects.scripted import ScriptedModel
from insignia.verification import rules_for, verify

KEYS = 256  # in a set: more than any run asks


def drawn(k, rng):
    """A set of a new secret, each response drawn from the same ``k`` candidates."""
    secret = rng.randbytes(32)
    chance = KeyedRandom(secret)
    words = tuple(Candidate(text=f" word{n:03}", token_id=n) for n in range(k))
    picks = [chance.derive(number).choice(words) for number in range(KEYS)]
    return FingerprintSet(
        secret=secret.hex(),
        fingerprints=tuple(
            Fingerprint(key=f"Road {n}", key_ids=(n,), responses=(p.text,), response_ids=((p.token_id,),), candidates=words)
            for n, p in enumerate(picks)
        ),
    )


def keys_asked(k, survival, lost, alpha, rng):
    """Keys until proof; infinite where there was none."""
    prints = drawn(k, rng)

    def says(question):
        fingerprint = prints.fingerprints[int(question.removeprefix("Road "))]
        if survives[fingerprint.key_ids[0]]:
            return fingerprint.responses[0]
        return "Well." if lost == "something else" else rng.choice(fingerprint.candidates).text

    survives = [rng.random() < survival for _ in range(KEYS)]
    verdict = verify(prints, ScriptedModel(says), rules=rules_for(prints, alpha=alpha, cover=0), max_queries=KEYS)
    return verdict.trials if verdict.outcome == "owned" else math.inf


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=401)
    parser.add_argument("--alpha", type=float, default=1e-6)
    options = parser.parse_args()
    cases = [(1.0, "something else"), (0.95, "something else"), (0.3, "something else"), (0.3, "a candidate")]
    print("k, survived, lost keys say: median keys (10 % to 90 %, least to most), proven, over the fewest possible")
    for k in (16, 32, 64, 256):
        fewest = math.ceil(math.log(1 / options.alpha, k))
        for survival, lost in cases:
            rng = random.Random(f"{k} {survival} {lost}")
            asked = [keys_asked(k, survival, lost, options.alpha, rng) for _ in range(options.runs)]
            asked.sort()
            least, tenth, middle, ninetieth, most = (asked[int(share * (len(asked) - 1))] for share in (0, 0.1, 0.5, 0.9, 1))
            proven = sum(count < math.inf for count in asked) / len(asked)
            spread = f"{tenth} to {ninetieth}, {least} to {most}"
            print(f"{k:4} {survival:5.0%}  {lost:15}: {middle:3} ({spread}), {proven:.1%}, x{middle / fewest:.2f}", flush=True)


if __name__ == "__main__":
    main()
