"""Check an accusation of a licensee without insignia. Standard library only, beside audit.py, whose checks of files it uses.

It was written after docs/reference/formats.md and shares no code with the package. An accusation says whose copy a suspect was
made of. Was that licensee's code word fixed beforehand, and drawn? What did the suspect show of each block? How unlikely is
that if the licensee is innocent? The check ends with "rejected" at the first thing that is invalid.

Exit status: 0 the copy was leaked, 1 the file is invalid, 3 that was not shown, 4 nothing is decided.
"""

import argparse
import hashlib
import json
import math
import sys
from functools import cache
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # python -I leaves it out

from audit import (
    asked_key,
    canonical,
    check_opening,
    check_questions,
    check_signature,
    digest,
    expected_responses,
    fields,
    fold,
    integer,
    log_sum,
    must,
    number,
    parse,
    read_commitment,
    read_transcript,
    root_from_path,
    search,
    sequence,
    text,
)

STEPS = 2**16  # biases are multiples of 1 / STEPS


# --- The file and the commitment to code words --------------------------------------------------------------------------------


def read_accusation(content):
    must(len(content) <= 2**26 and content.endswith(b"\n"), "the file is too long or cut short")
    made = parse(content[:-1])
    needed = "kind schema_version commitment codes biases accused openings transcript log_e public_key signature"
    fields(made, needed, "controls")
    must(made["kind"] == "insignia/accusation" and integer(made["schema_version"], 1, 1), "not an accusation")
    number(made["log_e"], -math.inf, math.inf)
    sequence(made.get("controls", [0]), 1, 16)
    codes = made["codes"]
    fields(codes, "kind schema_version code size biases root created public_key signature")
    must(codes["kind"] == "insignia/code-commitment" and integer(codes["schema_version"], 1, 1), "not a code commitment")
    fields(codes["code"], "blocks colluders")
    integer(codes["code"]["blocks"], 1, 2**16)
    integer(codes["code"]["colluders"], 1, 20)
    integer(codes["size"], 1, 2**63)
    return made


def check_word(accused, opened, codes):
    """Return the accused's code word, if it was committed to and drawn by the law of the code."""
    fields(opened, "biases salt")
    fields(accused, "licensee number word copies salt path seed")
    biases, blocks = [number(bias, 0, 1) for bias in sequence(opened["biases"], 1, 2**16)], codes["code"]["blocks"]
    committed = hashlib.sha256(digest(opened["salt"]) + canonical(biases)).digest()
    must(committed == digest(codes["biases"]), "the biases are not those that were committed to")
    place = integer(accused["number"], 0, codes["size"] - 1)
    content = {name: accused[name] for name in ("copies", "licensee", "number", "word")}
    leaf = hashlib.sha256(b"\0" + digest(accused["salt"]) + canonical(content)).digest()
    root = root_from_path(leaf, place, codes["size"], accused["path"])
    must(root == digest(codes["root"]), "the accused's code word is not in the commitment")
    points = law(codes["code"]["colluders"])
    must(len(biases) == blocks and all(bias * STEPS in points for bias in biases), "the biases are not the law's")
    stream = hashlib.shake_256(b"stream" + digest(accused["seed"])).digest(2 * blocks)
    drawn = [int.from_bytes(stream[2 * b : 2 * b + 2], "big") < biases[b] * STEPS for b in range(blocks)]
    bits = "".join("01"[has] for has in drawn) + "0" * (-blocks % 8)
    must(f"{int(bits, 2):0{len(bits) // 4}x}" == text(accused["word"]), "the code word was not drawn by the law of the code")
    return drawn


def law(colluders):
    """Return the biases of the law in steps: (1 + z) / 2 for the zeros z of a Legendre polynomial, found by Newton's method."""
    degree, points = (colluders + 1) // 2, set()
    for place in range(degree):
        z = math.cos(math.pi * (place + 0.75) / (degree + 0.5))
        for _ in range(50):
            before, value = 0.0, 1.0
            for n in range(1, degree + 1):
                before, value = value, ((2 * n - 1) * z * value - (n - 1) * before) / n
            z -= value * (z * z - 1) / (degree * (z * value - before))
        points.add(round((1 + z) / 2 * STEPS))
    return points


# --- The replies: how much likelier those to a block's keys are if the suspect has the block ----------------------------------

KEPT = (0.98, 0.7, 0.35)  # guesses at the share of a copy's fingerprints that are left
SILENT = 0.01  # how often a model without the block says a response that is no likely word
# Nats that a response gains, for each guess: share that gain, range where the block is in, mean and spread where it is out.
GAINS = ((0.98, (3.5, 9.0), (1.1, 0.7)), (0.95, (2.5, 8.0), (0.7, 0.5)), (0.9, (1.2, 6.0), (0.4, 0.4)))
STRAY, RANGE = 0.02, 20.0


def of_hit(hit, bound):
    return [math.log1p(kept * (1 - bound) / bound) if hit else math.log1p(-kept) for kept in KEPT]


def of_gain(gain):
    found = []
    for kept, (least, most), (mean, spread) in GAINS:
        inside = (1 - STRAY) / (most - least) if least <= gain <= most else 0.0
        outside = math.exp(-(((gain - mean) / spread) ** 2) / 2) / (spread * math.sqrt(2 * math.pi))
        ratio = (inside + STRAY / RANGE) / ((1 - STRAY) * outside + STRAY / RANGE)
        found.append(math.log(kept * ratio + 1 - kept))
    return found


def of_reply(reply, fingerprint, match, terms):
    """Return the log-ratio of one reply for each guess in KEPT."""
    accepted, candidates = expected_responses(fingerprint, match, terms)
    options, channel = fingerprint.get("candidates", []), reply.get("channel", "text")
    if channel == "text":
        likely = not all(option.get("rank") for option in options)  # some candidate was the first choice of the base
        return of_hit(search(reply["text"], accepted, candidates, match)[0], 1 / len(options) if likely else SILENT)
    must(candidates, "a reply weighs candidates of a key that has none")
    place = candidates.index(accepted[0])
    if channel == "scores":
        must(len(reply.get("scores", [])) == len(candidates), "a reply does not score each candidate")
        score = reply["scores"][place]
    else:
        shown, how = reply.get("alternatives", []), match.get("fold", "spaces")
        seen = [(fold(each["text"], how), each["log_probability"]) for each in shown]
        score = max((value for string, value in seen if string == candidates[place]), default=None)
    chances = [option.get("probability") or 0.0 for option in options]
    if score is None:
        return of_hit(False, SILENT)
    return of_gain(score - math.log(chances[place])) if all(0 < chance <= 1 for chance in chances) else [0.0] * len(KEPT)


# --- The bets against the accused's innocence ---------------------------------------------------------------------------------

COALITIONS = {1: 0.4, 2: 0.2, 3: 0.14, 4: 0.1, 6: 0.09, 8: 0.07}  # size -> share of the capital
PARTS = (0.5, 0.3, 0.2)  # of it for each guess in KEPT
ERROR = 0.01  # how often a coalition departs from its strategy


def strategies(colluders):
    """Return the different ways to show a block: chances if 0, 1, ... all of the coalition have it."""
    held = range(1, colluders)
    ways = [
        [have / colluders for have in held],  # in turn
        [1.0 for _ in held],  # what anybody has
        [0.0 for _ in held],  # what everybody has
        [0.5 * (2 * have > colluders) + 0.5 * (2 * have >= colluders) for have in held],  # by majority
        [0.5 * (2 * have < colluders) + 0.5 * (2 * have <= colluders) for have in held],  # by minority
        [0.5 for _ in held],  # at random
    ]
    return list(dict.fromkeys((0.0, *way, 1.0) for way in ways))


@cache
def shown(shows, bias):
    """Return the chances that a coalition shows a block of this bias, if one given member lacks it, and if they have it."""
    others = len(shows) - 2
    chances = [math.comb(others, have) * bias**have * (1 - bias) ** (others - have) for have in range(others + 1)]
    return [
        sum(chance * (ERROR + (1 - 2 * ERROR) * shows[have + own]) for have, chance in enumerate(chances)) for own in (0, 1)
    ]


def log_e_value(word, biases, ratios):
    """Return the logarithm of what all bets on this code word have grown to."""
    seen = [[math.exp(min(40.0, max(-40.0, each))) for each in ratio] for ratio in ratios]
    grown = []
    for colluders, capital in COALITIONS.items():
        known = strategies(colluders)
        for shows in known:
            for guess, part in enumerate(PARTS):
                total = math.log(capital * part / len(known))
                for has, bias, ratio in zip(word, biases, seen, strict=True):
                    lacking, having = (chance * ratio[guess] + 1 - chance for chance in shown(shows, bias))
                    total += math.log((having if has else lacking) / (bias * having + (1 - bias) * lacking))
                grown.append(total)
    return log_sum(grown)


def evaluate(asked, spared, rules, made, word):
    """Return what a transcript proves: the e-value's logarithm, keys left out, and the p-value that allows for all choices."""
    terms, size, codes = made["commitment"]["commitment"]["terms"], made["commitment"]["commitment"]["size"], made["codes"]
    blocks, prints = codes["code"]["blocks"], {each["number"]: each["fingerprint"] for each in made["openings"]}
    rounds, met = -(-size // blocks), {place for place, _, _ in asked} | set(spared)
    whole = sum(set(range(min(size, count * blocks))) <= met for count in range(1, rounds + 1))
    due, ratios = min(size, max(1, whole) * blocks), [[0.0] * len(KEPT) for _ in range(blocks)]
    for place, _, reply in asked:
        if place < due and reply["status"] == "answered":
            found = of_reply(reply, prints[place], rules["match"], terms)
            ratios[place % blocks] = [before + more for before, more in zip(ratios[place % blocks], found, strict=True)]
    log_e, left_out = log_e_value(word, made["biases"]["biases"], ratios), due - sum(place < due for place in prints)
    log_tests = math.log(codes["size"] * rules["suspects"] * rounds * math.comb(due, left_out))
    return {"log_e": log_e, "left_out": left_out, "p_value": math.exp(min(0.0, log_tests - log_e))}


# --- The decision -------------------------------------------------------------------------------------------------------------


def read_asked(lines):
    """Return rules, name and asked keys of a transcript, and the numbers of keys that it says were spared."""
    rules, name, asked = read_transcript(lines)
    spared = [integer(place, 0, math.inf) for place in sequence(json.loads(lines[0])["spared"], 0, 2**20)]
    return rules, name, asked, spared


def check_controls(made, rules, word, alpha):
    """Return what models that are nobody's copy show of the accused's code word. None may be traced to the accused."""
    results, keys = [], sorted((each["number"], asked_key(each["fingerprint"])) for each in made["openings"])
    for count, lines in enumerate(made.get("controls", []), 1):
        own, name, asked, spared = read_asked(lines)
        alike = all(own[part] == rules[part] for part in ("match", "manner"))
        must(alike, f"control {count} was asked under other request options")
        must(sorted(each[:2] for each in asked) == keys, f"control {count} was asked other keys, or one twice")
        found = evaluate(asked, spared, own, made, word)
        must(found["p_value"] > alpha, f"control {count} is traced to the accused, too: this proves nothing")
        results.append({"name": name} | found)
    return results


def audit(content, published=None, codes=None, *, alpha=1e-6, any_manner=False):
    """Return what the accusation proves, or raise an error if something is invalid."""
    made = read_accusation(content)
    signed, commitment = made["commitment"], read_commitment(made["commitment"])
    must(published is None or json.loads(published) == signed, "not the commitment that was published")
    must(codes is None or json.loads(codes) == made["codes"], "not the commitment to code words that was published")
    must(made["public_key"] == signed["public_key"] == made["codes"]["public_key"], "signed by different keys")
    for record in (signed, made["codes"], made):
        check_signature(record)
    word = check_word(made["accused"], made["biases"], made["codes"])
    rules, suspect, asked, spared = read_asked(made["transcript"])
    for opening in sequence(made["openings"], 1, commitment["size"]):
        check_opening(opening, commitment)
    check_questions(asked, made["openings"], commitment, None, rules)
    found = evaluate(asked, spared, rules, made, word)
    must(math.isclose(found["log_e"], made["log_e"], abs_tol=1e-3), "the evidence is not what the accusation claims")
    controls, manner, reasons = check_controls(made, rules, word, alpha), rules["manner"], []
    if not any_manner and manner["system"] not in [None, *commitment["terms"].get("systems", [])]:
        reasons.append("the system prompt is not in the commitment (--accept-manner)")
    if not any_manner and manner["temperature"] > 0:
        reasons.append("replies were sampled, so every repetition is another chance (--accept-manner)")
    outcome = "not_shown" if found["p_value"] > alpha else "inconclusive" if reasons else "owned"
    notes = ["The owner wrote the transcript: ask suspect and controls yourself, or watch."]
    notes.append("The owner has every copy, too: no trace tells whether owner or licensee leaked it.")
    if published is None or codes is None:
        notes.append("Compare roots and signer with what was published before the leak, or give --commitment and --codes.")
    if not controls:
        notes.append("No control was asked, so the model without blocks may give the same responses.")
    about = {"suspect": suspect, "accused": made["accused"]["licensee"], "licensees": made["codes"]["size"]}
    source = {"root": commitment["root"], "codes_root": made["codes"]["root"], "signed_by": made["public_key"]}
    return {"outcome": outcome, "alpha": alpha} | found | about | source | {
        "controls": controls, "reasons": reasons, "notes": notes,
    }  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("accusation", type=Path)
    parser.add_argument("--commitment", type=Path, help="the published commitment; default: the file's own")
    parser.add_argument("--codes", type=Path, help="the published commitment to code words; default: the file's own")
    parser.add_argument("--alpha", type=float, default=1e-6, help="largest chance of accusing anybody innocent")
    parser.add_argument("--accept-manner", action="store_true", help="accept uncommitted system prompts, and sampling")
    given = parser.parse_args()
    try:
        published, codes = (each and each.read_bytes() for each in (given.commitment, given.codes))
        manner = given.accept_manner
        result = audit(given.accusation.read_bytes(), published, codes, alpha=given.alpha, any_manner=manner)
    except Exception as error:  # noqa: BLE001  any error means that the file is invalid
        sys.exit(f"rejected: {error}" if type(error) is ValueError else f"rejected: malformed, {error!r}")
    print(json.dumps(result, indent=1))
    sys.exit({"owned": 0, "not_shown": 3, "inconclusive": 4}[result["outcome"]])


if __name__ == "__main__":
    main()
