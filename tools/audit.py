"""Check an evidence bundle without insignia. One file, standard library only, written to be read.

It was written from docs/reference/formats.md and shares no code with the package. The sections follow the questions of a
sceptic: Is the file well-formed? Who signed it? What was committed? What was asked? What were the replies? How unlikely are
they? What follows? The check ends with "rejected" at the first thing that is invalid.

Exit status: 0 the mark is there, 1 the bundle is invalid, 3 the mark was not shown, 4 nothing is decided.
"""

import argparse
import hmac
import itertools
import json
import math
import re
import sys
import unicodedata
from functools import cache
from hashlib import sha256, sha512
from pathlib import Path

MIN_PROBABILITY = 1e-100  # of the rules
MAX_FINGERPRINTS = 2**20
CHANNELS = ("scores", "top", "choice", "text")  # strongest first; a record leaves out "text"


def must(condition, message):
    if not condition:
        raise ValueError(message)


# --- The file: canonical JSON with the fields of formats.md, every number within its bounds -----------------------------------


def canonical(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode("ascii")


def parse(content):
    """Parse canonical JSON, in which no field can occur twice, without NaN and infinity."""
    value = json.loads(content, parse_constant=lambda name: must(False, f"{name} is not a number"))
    must(canonical(value) == content, "not canonical JSON")
    json.dumps(value, ensure_ascii=False).encode()  # fails for an unpaired surrogate, which is not text
    return value


def fields(record, needed, optional=""):
    """Check that the object has all needed fields, and no others except optional ones."""
    must(type(record) is dict, "expected an object")
    needed, optional = set(needed.split()), set(optional.split())
    must(needed <= set(record) <= needed | optional, f"fields missing or unknown; expected {sorted(needed | optional)}")


def integer(value, low, high):
    must(type(value) is int and low <= value <= high, f"expected a whole number from {low} to {high}")
    return value


def number(value, low, high):
    must(type(value) is float and low <= value <= high, f"expected a number from {low} to {high}")
    return value


def text(value, most=2**26):
    must(type(value) is str and len(value) <= most, f"expected a text of at most {most} characters")
    return value


def sequence(value, least, most):
    must(type(value) is list and least <= len(value) <= most, f"expected a list of {least} to {most} items")
    return value


def digest(value, size=32):
    must(re.fullmatch(f"[0-9a-f]{{{2 * size}}}", text(value)), "expected a digest in lower-case hexadecimal")
    return bytes.fromhex(value)


def read_bundle(content):
    must(len(content) <= 2**26 and content.endswith(b"\n"), "the file is too long or cut short")
    bundle = parse(content[:-1])
    fields(bundle, "kind schema_version commitment openings transcript claim public_key signature", "nonce timestamp controls")
    must(bundle["kind"] == "insignia/evidence" and integer(bundle["schema_version"], 1, 1), "not an evidence bundle")
    must(len(text(bundle.get("nonce", "n" * 16), 1000)) >= 16, "the nonce is shorter than 16 characters")
    must(re.fullmatch("([0-9a-f]{2})+", text(bundle.get("timestamp", "00"), 2**20)), "the time stamp is not hexadecimal")
    fields(bundle["claim"], "outcome hits trials unanswered p_value", "by_channel")
    sequence(bundle.get("controls", [0]), 1, 16)
    return bundle


# --- The signatures: Ed25519 (RFC 8032) over the canonical record without its field "signature" -------------------------------

P = 2**255 - 19  # prime of the field
L = 2**252 + 27742317777372353535851937790883648493  # order of the group
D = -121665 * pow(121666, -1, P) % P  # constant of the curve
BASE = (15112221349535400772501151409588531511454012693041857206046113283949847762202, 4 * pow(5, -1, P) % P)


def add(point, other):
    (a, b), (c, d) = point, other
    slope = D * a * b * c * d
    inverse = pow(1 - slope * slope, -1, P)  # 1 / ((1 + slope) * (1 - slope))
    return (a * d + b * c) * (1 - slope) * inverse % P, (b * d + a * c) * (1 + slope) * inverse % P


def times(factor, point):
    result = (0, 1)
    for bit in f"{factor:b}":
        result = add(result, result)
        result = add(result, point) if bit == "1" else result
    return result


def check_signature(record):
    key, signature = digest(record["public_key"]), digest(record["signature"], 64)
    y, odd = int.from_bytes(key, "little") % 2**255, key[31] >> 7
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * pow(2, (P - 1) // 4, P) % P
    must(y < P and x * x % P == square, "the public key is not a point of the curve")
    minus_key = (x if x % 2 != odd else P - x, y)
    s = int.from_bytes(signature[32:], "little")
    message = canonical({name: value for name, value in record.items() if name != "signature"})
    h = int.from_bytes(sha512(signature[:32] + key + message).digest(), "little") % L
    x, y = add(times(s, BASE), times(h, minus_key))
    must(s < L and signature[:32] == (y | x % 2 << 255).to_bytes(32, "little"), "a signature is invalid")


# --- The commitment: a Merkle tree (RFC 6962) with a salted leaf for each fingerprint -----------------------------------------


def read_commitment(signed):
    fields(signed, "kind schema_version commitment weights created public_key signature")
    commitment = signed["commitment"]
    fields(commitment, "kind schema_version size terms root")
    fields(commitment["terms"], "prompt_form max_key_length max_response_length", "tokenizer chain systems")
    kinds = (signed["kind"], commitment["kind"])
    must(kinds == ("insignia/signed-commitment", "insignia/commitment"), "not a commitment")
    must(integer(signed["schema_version"], 1, 1) and integer(commitment["schema_version"], 1, 1), "a newer schema")
    integer(commitment["size"], 1, MAX_FINGERPRINTS)
    integer(commitment["terms"]["max_response_length"], 1, math.inf)
    digest(commitment["root"])
    for system in sequence(commitment["terms"].get("systems", [""]), 1, 64):
        text(system)
    return commitment


def root_from_path(leaf, place, size, path):
    """Return the root that a path of digests leads to from a leaf (RFC 9162, section 2.1.3.2)."""
    last, node = size - 1, leaf
    for beside in [digest(each) for each in sequence(path, 0, 64)]:
        must(last > 0, "a path is too long")
        if place % 2 or place == last:
            node = sha256(b"\1" + beside + node).digest()
            while place % 2 == 0 and place > 0:
                place, last = place >> 1, last >> 1
        else:
            node = sha256(b"\1" + node + beside).digest()
        place, last = place >> 1, last >> 1
    must(last == 0, "a path is too short")
    return node


OPTIONAL = "effective_key key_ids response_ids effective_responses candidates order continuations"  # of a fingerprint


def check_opening(opening, commitment):
    """Check that the fingerprint is in the committed set, and that the set's chain, if any, picks its response."""
    fields(opening, "number fingerprint salt path", "chain")
    fingerprint, terms, size = opening["fingerprint"], commitment["terms"], commitment["size"]
    fields(fingerprint, "key responses", OPTIONAL)
    place, salt = integer(opening["number"], 0, size - 1), digest(opening["salt"])
    content = {"fingerprint": fingerprint, "number": place, "size": size, "terms": terms}
    leaf = sha256(b"\0" + salt + canonical(content)).digest()
    root = root_from_path(leaf, place, size, opening["path"])
    must(root == digest(commitment["root"]), "a fingerprint is not in the committed set")
    must(("chain" in terms) == ("chain" in opening), "a path in the chain is missing or not expected")
    if "chain" not in terms:
        return
    must("order" not in fingerprint and "continuations" not in fingerprint, "a chain picks no order")
    options, chain = fingerprint["candidates"], digest(terms["chain"])
    content = {"candidates": options, "key": asked_key(fingerprint), "number": place, "size": size}
    leaf = sha256(b"\0" + salt + canonical(content)).digest()
    must(root_from_path(leaf, place, size, opening["chain"]) == chain, "a key is not in the chain")
    draw = hmac.digest(salt, b"insignia chain 1" + chain + leaf, "sha256")
    pick = options[int.from_bytes(draw, "big") % len(options)]
    tokens, words = {each["token_id"] for each in options}, {" ".join(each["text"].split()) for each in options}
    must(len(tokens) == len(words) == len(options), "two candidates look alike")
    must(fingerprint["responses"] == [pick["text"]], "a response is not the one that the chain picks")
    whole = fingerprint.get("effective_responses", fingerprint["responses"]) == fingerprint["responses"]
    must(whole, "replies are searched for another text than the chain picks")
    must(fingerprint["response_ids"][0][0] == pick["token_id"], "a response token is not the one that the chain picks")


def asked_key(fingerprint):
    return fingerprint.get("effective_key") or fingerprint["key"]


# --- The transcript: each line has the digest of the line before; the first line has the rules --------------------------------


def read_transcript(lines):
    """Return the rules, the suspect's name, and the asked keys as (number, question, reply)."""
    header, *entries = [parse(text(line).encode()) for line in sequence(lines, 2, 2**17)]
    fields(header, "kind schema_version suspect rules spared provenance previous")
    must(header["kind"] == "insignia/transcript" and integer(header["schema_version"], 1, 1), "not a transcript")
    check_rules(header["rules"])
    asked = []
    for entry in entries:
        fields(entry, "number question reply previous")
        reply = entry["reply"]
        fields(reply, "status text reason", "alternatives channel scores")
        must(reply["status"] in {"answered", "unanswered"}, "a reply is neither answered nor unanswered")
        must(reply.get("channel", "scores") in CHANNELS[:3], "an unknown channel")
        text(reply["text"])
        for score in sequence(reply.get("scores", []), "scores" in reply, 2**17):
            number(score, -1e4, 0)
        for each in sequence(reply.get("alternatives", []), "alternatives" in reply, 2**17):
            fields(each, "text log_probability")
            number(each["log_probability"], -math.inf, 0)
        if entry["number"] is not None:  # else a decoy question
            asked.append((integer(entry["number"], 0, MAX_FINGERPRINTS - 1), text(entry["question"]), reply))
    digests = ["0" * 64, *(sha256(line.encode()).hexdigest() for line in lines)]
    must([line["previous"] for line in (header, *entries)] == digests[:-1], "a line does not follow the line before it")
    return header["rules"], text(header["suspect"], 4096), asked


def check_rules(rules):
    fields(rules, "null alpha suspects survival futility match manner cover", "channel")
    number(rules["alpha"], MIN_PROBABILITY, 1 - 2**-53)
    number(rules["futility"], MIN_PROBABILITY, 1 - 2**-53)
    number(rules["survival"], 1e-6, 1 - 1e-6)
    number(rules["cover"], 0, 0.9)
    integer(rules["suspects"], 1, 10**6)
    null, match, manner = rules["null"], rules["match"], rules["manner"]
    names = {"design": "candidates accepted looks", "reference": "models risk", "declared": "chance"}
    must(type(null) is dict and text(null.get("name")) in names, "an unknown null")
    fields(null, "name " + names[null["name"]])
    if null["name"] == "declared":
        number(null["chance"], MIN_PROBABILITY, 1 - 2**-53)
    if null["name"] == "reference":
        number(null["risk"], MIN_PROBABILITY, 0.5)
        for model in sequence(null["models"], 1, 64):
            fields(model, "hits trials")
            integer(model["hits"], 0, integer(model["trials"], 1, 10**7))
        must(sum(model["trials"] for model in null["models"]) <= 10**7, "more than 10 million trials in all")
    if "channel" in rules:
        must(rules["channel"] in CHANNELS[:3], "an unknown channel")
        must(null["name"] == "design" and match["looks"] == 1, "a channel beside text needs a design null and one place")
    fields(match, "how looks", "fold")
    must(match["how"] in {"exact", "prefix", "within"}, "an unknown match")
    must(match.get("fold", "spaces") in {"spaces", "alike", "case"}, "an unknown folding")
    integer(match["looks"], 1, 256 if match["how"] == "within" else 1)
    fields(manner, "form system max_tokens temperature seed", "log_probabilities")
    must(manner["form"] in {"raw", "chat"}, "an unknown prompt form")
    must(manner["system"] is None or text(manner["system"], 100_000), "an empty system prompt")
    must(manner["seed"] is None or integer(manner["seed"], 1 - 2**63, 2**63 - 1) is not None, "an invalid seed")
    integer(manner["max_tokens"], 1, 65_536)
    integer(manner.get("log_probabilities", 1), 1, 20)
    number(manner["temperature"], 0, 100)


# --- The questions: the committed keys, each once, in the challenge's order; the system prompt must not reveal them -----------


def check_questions(asked, openings, commitment, nonce, rules):
    numbers = [place for place, _, _ in asked]
    questions = [question for _, question, _ in asked]
    must(numbers == [opening["number"] for opening in openings], "the opened keys are not those that were asked")
    must(questions == [asked_key(opening["fingerprint"]) for opening in openings], "a question is not the committed key")
    must(len(set(questions)) == len(questions), "a key was asked twice")
    if nonce is not None:
        root, tail = digest(commitment["root"]), nonce.encode()
        order = sorted(range(commitment["size"]), key=lambda n: sha256(root + n.to_bytes(8, "big") + tail).digest())
        must(numbers == order[: len(numbers)], "the keys were not asked in the order of the challenge, from its start")
    prompt = fold(rules["manner"]["system"] or "", "case")
    must(not prompt or not any(fold(key, "case") in prompt for key in questions), "the system prompt contains a key")
    for opening in openings:
        for response in expected_responses(opening["fingerprint"], rules["match"], commitment["terms"])[0]:
            expected = re.escape(fold(response, "case"))
            given = len(fold(response, "case")) >= 3 and re.search(f"(?<![0-9A-Za-z]){expected}", prompt)
            must(not given, "the system prompt contains a response, which an innocent model could repeat")


# --- The replies: folded, and searched for the committed response -------------------------------------------------------------

LOOK_ALIKE = "АВЕЅІЈКМНОРСТУХҮԀԚԜӀаеѕіјорсухүһԁԛԝӏΑΒΕΖΗΙΚΜΝΟΡΤΥΧαικνορυχϲϳՕօՍսհոցıɑɡʼ‘’‚‛“”„‟′″‹›«»´‐‑‒–—―−"  # noqa: RUF001
READ_AS = "ABESIJKMHOPCTYXYDQWlaesijopcyxyhdqwlABEZHIKMNOPTYXaikvopuxcjOoSuhngiag'''''\"\"\"\"'\"''\"\"'-------"
INVISIBLE = set("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u3164\uffa0")


def fold(string, how):
    """Remove differences that a reader does not see; "spaces" only collapses white space."""
    if how != "spaces":
        string = "".join(fold_character(character, how) for character in string)
    return " ".join(string.split())


@cache
def fold_character(character, how):
    result = "".join(map(read, unicodedata.normalize("NFKD", read(character))))
    return "".join(map(read, result.casefold())) if how == "case" else result


def read(character):
    if character.isspace():
        return " "
    selector = "\ufe00" <= character <= "\ufe0f" or "\U000e0100" <= character <= "\U000e01ef"
    if selector or character in INVISIBLE or unicodedata.category(character) in {"Cc", "Cf", "Cs"}:
        return ""
    place = LOOK_ALIKE.find(character)
    return READ_AS[place] if place >= 0 else character


def expected_responses(fingerprint, match, terms):
    """Return the folded texts that are a hit, and the folded candidates that the response was drawn from, if any."""
    how, responses, options = match.get("fold", "spaces"), fingerprint["responses"], fingerprint.get("candidates", [])
    if "effective_responses" in fingerprint:
        texts = fingerprint["effective_responses"]
    else:  # version 0.1.0: the token ids say what was trained
        ids = fingerprint["response_ids"]
        drawn = [option["text"] for option in options if option["token_id"] == ids[0][0]]
        trained = [len(each) <= terms["max_response_length"] for each in ids]
        texts = [t if all_of_it else (t.split() or [""])[0] for t, all_of_it in zip(responses, trained, strict=True)]
        texts = drawn[:1] if drawn and len(responses) == 1 else texts
    accepted, candidates = [fold(t, how) for t in texts], [fold(option["text"], how) for option in options]
    must(all(accepted) and len(accepted) == len(responses) > 0, "a response is invisible")
    must(len(set(candidates)) == len(candidates), "two candidates look alike")
    return accepted, candidates if len(accepted) == 1 and accepted[0] in candidates else []


def search(reply, accepted, candidates, match):
    """Return whether the reply is a hit, and the candidates that it matches; of several at one place, the longest."""
    string, given, options = fold(reply, match.get("fold", "spaces")), set(), candidates or accepted
    if match["how"] == "exact":
        given = {string}
    else:
        words = re.finditer(r"\w+|[^\w\s]", string)
        starts = [word.start() for word, _ in zip(words, range(match["looks"]))] if match["how"] == "within" else [0]
        for start in starts:
            fitting = [option for option in options if string.startswith(option, start)]
            given |= {option for option in fitting if len(option) == max(map(len, fitting))}
    return not given.isdisjoint(accepted), [candidate for candidate in candidates if candidate in given]


# --- The places of a graded test: where the secret order lies in the order that the suspect puts the candidates in ------------


def secret_orders(fingerprint, accepted, candidates, match):
    """Return (candidates, indices of them in the secret order, or of the response alone) for each response token drawn."""
    drawn = candidates.index(accepted[0]) if candidates else None
    found = [(candidates, fingerprint.get("order", [drawn]))]
    must("order" in fingerprint or "continuations" not in fingerprint, "a response without an order has no continuations")
    must(found[0][1][:1] == [drawn], "the response is not the first of its order")
    for each in sequence(fingerprint.get("continuations", []), "continuations" in fingerprint, 15):
        fields(each, "candidates order")
        texts = [fold(option["text"], match.get("fold", "spaces")) for option in sequence(each["candidates"], 2, 256)]
        must(len(set(texts)) == len(texts), "two candidates look alike")
        found.append((texts, each["order"]))
    for texts, order in found if "order" in fingerprint else []:
        whole = all(type(each) is int for each in sequence(order, 1, 256)) and sorted(order) == list(range(len(texts)))
        must(whole, "an order is not one of the candidates")
    return found


def groups_of(reply, candidates, match):
    """Return the candidates in groups, likeliest first; those of a group are tied."""
    channel = reply.get("channel", "text")
    if channel == "scores":
        must(len(reply.get("scores", [])) == len(candidates), "a reply does not score each candidate")
        values = reply["scores"]
    elif channel == "top":
        seen = {}
        for token in reply.get("alternatives", []):
            string = fold(token["text"], match.get("fold", "spaces"))
            seen[string] = max(seen.get(string, -math.inf), token["log_probability"])
        values = [seen.get(each, -math.inf) for each in candidates]
    else:
        met = search(reply["text"], [], candidates, match)[1]
        values = [each in met and len(met) == 1 for each in candidates]
    return grouped(values)


def views_of(reply, fingerprint, match, tokens):
    """Return the places of a reply for each factor, or once if they are the same for all."""
    (candidates, order), further = tokens[0], [] if "channel" in reply else places_after(reply, tokens, match)
    views = [places_of(groups_of(reply, candidates, match), order) + further]
    chances = [option.get("probability") or 0.0 for option in fingerprint.get("candidates", [])]
    if reply.get("channel") != "scores" or not all(0 < chance <= 1 for chance in chances):
        return views
    for factor in FACTORS[1:]:  # the base's log-probability plus the enlarged difference from it
        pairs = [(math.log(chance), score) for chance, score in zip(chances, reply["scores"], strict=True)]
        views.append(places_of(grouped([base + factor * (score - base) for base, score in pairs]), order))
    return views


def places_after(reply, tokens, match):
    """Return the places that a text shows in the orders of the further tokens, as far as it gives the response."""
    places, rest = [], fold(reply["text"], match.get("fold", "spaces"))
    for (said, order), (candidates, following) in itertools.pairwise(tokens if match["how"] == "prefix" else []):
        if groups_of({"text": rest}, said, match)[0] != order[:1]:
            break
        rest = rest[len(said[order[0]]) :].lstrip()
        places += places_of(groups_of({"text": rest}, candidates, match), following)
    return places


def grouped(values):
    """Return the indices of the values in groups of equals, largest first."""
    ranked = sorted(range(len(values)), key=lambda i: -values[i])
    return [list(group) for _, group in itertools.groupby(ranked, key=lambda i: values[i])]


def places_of(groups, order):
    """Return (first, last, of) for each place that is uniform on 1..of if the suspect does not depend on the draw."""
    places, size = [], sum(map(len, groups))
    if len(groups) < 2:
        return []  # nothing is told apart
    if len(order) == 1:
        above = sum(map(len, groups[: next(i for i, group in enumerate(groups) if order[0] in group)]))
        tied = next(len(group) for group in groups if order[0] in group)
        return [(above + 1, above + tied, size)]
    left = list(order)
    for group in groups:
        if len(group) == 1 and len(left) > 1:
            place = left.index(group[0]) + 1
            places.append((place, place, len(left)))
        left = [each for each in left if each not in group]
    return places


# --- The statistics: bets against the null ("an unrelated model hits with probability at most p") -----------------------------


def divided(capital, centres, phis, depths, fractions):
    """Divide capital among bets on places: by fraction, by 1 / centre, and else evenly."""
    every = itertools.product(centres, phis, depths, fractions)
    bets = [(fraction / centre, fraction, centre, phi, depth) for centre, phi, depth, fraction in every]
    whole = sum(bet[0] for bet in bets)
    return [(capital * share / whole, *rest) for share, *rest in bets]


STAKES = ((0.98, 0.06), (0.6, 0.14), (0.3, 0.66), (0.1, 0.1), (0.03, 0.04))  # fraction staked on a hit, share of the capital
FACTORS = (1.0, 4.0, 16.0, 64.0)  # by which the difference from the base is enlarged; each has an equal part of the capital
BETS = [
    *divided(0.8, [1], [0.0, 0.05, 0.2, 0.45, 0.65, 0.85], [1, 4, 10**9], [0.98, 0.6, 0.3, 0.1]),
    *divided(0.2, range(2, 17), [0.0, 0.4, 0.75], [1, 10**9], [0.9, 0.5, 0.2]),
]  # share of the capital, fraction staked on a key, expected place, its looseness, number of places bet on


@cache
def log_payoff(first, last, size, centre, phi):
    """Return the logarithm of what a bet on a place pays: 1 on average if the place is uniform on 1..size."""
    part, whole = (weight(low, high, min(centre, size), phi) for low, high in ((first, last), (1, size)))
    return math.log(size * part / ((last - first + 1) * whole)) if part else -math.inf


def weight(first, last, centre, phi):
    """Return the sum of phi^|place - centre| over the places from first to last, by the formula for geometric sums."""
    if phi == 0:
        return float(first <= centre <= last)
    before, after = (centre - min(last, centre), centre - first), (max(first, centre + 1) - centre, last - centre)
    return sum((phi**least - phi ** (most + 1)) / (1 - phi) for least, most in (before, after) if least <= most)


def log_growth(places, bet):
    """Return the logarithm of the factor by which a key with these places multiplies the capital of a bet."""
    _, fraction, centre, phi, depth = bet
    paid = sum(log_payoff(*place, centre, phi) for place in places[:depth])
    return log_sum([math.log1p(-fraction), math.log(fraction) + paid])


def log_probability(hits, trials, p):
    """Return the logarithm of the binomial probability of ``hits``."""
    ways = math.lgamma(trials + 1) - math.lgamma(hits + 1) - math.lgamma(trials - hits + 1)
    return ways + (hits and hits * math.log(p)) + (trials - hits and (trials - hits) * math.log1p(-p))


def upper_limit(hits, trials, risk):
    """Return the upper confidence limit of the probability of a hit (Clopper and Pearson 1934)."""
    low, high = hits / trials, 1.0
    while low < (p := (low + high) / 2) < high:
        term = total = 1.0  # probabilities of hits, hits - 1, ... relative to the first
        for j in range(hits, 0, -1):
            term *= j / (trials - j + 1) * (1 - p) / p
            total += term
            if term < total * 1e-18:
                break
        low, high = (p, high) if log_probability(hits, trials, p) + math.log(total) > math.log(risk) else (low, p)
    return high


def null_bound(rules, fewest):
    """Return the bound on an unrelated model's probability of a hit, and the probability that the bound is wrong."""
    null, looks = rules["null"], rules["match"]["looks"]
    if null["name"] == "declared":
        return null["chance"], 0.0
    if null["name"] == "reference":
        counts = {(model["hits"], model["trials"]) for model in null["models"]}
        return max(upper_limit(hits, trials, null["risk"]) for hits, trials in counts), null["risk"]
    own = {"name": "design", "candidates": fewest, "accepted": 1, "looks": min(looks, fewest)}
    must(fewest > 1 and null == own, "the null has another number of candidates than the keys")
    return min(looks, fewest) / fewest, 0.0


def log_sum(logarithms):
    """Return the logarithm of a sum of numbers that are given as logarithms."""
    largest = max(logarithms)
    if largest == -math.inf:
        return largest
    return largest + math.log(sum(math.exp(each - largest) for each in logarithms))


def evaluate(asked, openings, rules, terms):
    """Return the result under the transcript's rules, with the null's bound and error and what the bets have grown to."""
    prints, match = [opening["fingerprint"] for opening in openings], rules["match"]
    searches = [expected_responses(each, match, terms) for each in prints]
    orders = [secret_orders(each, *found, match) for each, found in zip(prints, searches, strict=True)]
    fewest = min(len(candidates) for _, candidates in searches)
    bound, error = null_bound(rules, fewest)
    level = rules["alpha"] / rules["suspects"] - error
    must(level > 0, "alpha does not exceed the probability that the null is wrong")
    graded = rules["null"]["name"] == "design" and match["looks"] == 1
    graded = graded and (rules.get("channel") in {"scores", "top"} or any(len(tokens[0][1]) > 1 for tokens in orders))

    shares = [bet[0] / len(FACTORS) for _ in FACTORS for bet in BETS] if graded else [share for _, share in STAKES]
    capital = [math.log(share) for share in shares]  # logarithms; the whole capital is 1 at the start
    peak = 0.0  # logarithm of the largest capital so far
    doubt = 0.0  # logarithm of the capital of the reverse bet, that too few fingerprints survived
    hits = unanswered = 0
    channel, by_channel = rules.get("channel", "text"), {}  # answered keys
    for (_, _, reply), fingerprint, (accepted, candidates), tokens in zip(asked, prints, searches, orders, strict=True):
        before, channel = channel, reply.get("channel", "text")
        must(CHANNELS.index(channel) >= CHANNELS.index(before), "a key was asked by a stronger channel than before")
        if reply["status"] == "unanswered":
            unanswered += 1
            continue
        by_channel[channel] = by_channel.get(channel, 0) + 1
        if graded:
            views = views_of(reply, fingerprint, match, tokens)
            shown = views[-1] if len(views[-1]) <= 1 else views[0]
            hit = bool(shown) and shown[0][1] == 1
            grown = [[log_growth(places, bet) if places else 0.0 for bet in BETS] for places in views]
            grown = grown * len(FACTORS) if len(views) == 1 else grown
            capital = [each + more for each, more in zip(capital, itertools.chain(*grown), strict=True)]
        else:
            hit, met = search(reply["text"], accepted, candidates, match)
            p = min(len(met), fewest) / fewest if rules["null"]["name"] == "design" else bound
            must(p > 0 or not hit, "an impossible hit")
            if 0 < p < 1:  # else nothing is staked
                for place, (fraction, _) in enumerate(STAKES):
                    capital[place] += math.log1p(fraction * (1 - p) / p if hit else -fraction)
        hits += hit
        peak = max(peak, log_sum(capital))
        doubt += math.log1p(-0.8 if hit else 0.8 * rules["survival"] / (1 - rules["survival"]))

    if peak >= -math.log(level):
        outcome = "owned"
    elif doubt >= -math.log(rules["futility"]) and not (graded and log_sum(capital) > 0):
        outcome = "not_shown"
    else:
        outcome = "inconclusive"
    p_value = max(5e-324, min(1.0, error + math.exp(-peak)))
    found = {"outcome": outcome, "hits": hits, "trials": len(asked), "unanswered": unanswered, "p_value": p_value}
    found |= {"by_channel": by_channel} if by_channel and (graded or "channel" in rules) else {}
    return found, (bound, error, log_sum(capital) if graded else None)


# --- The decision: the owner's claim, the controls, and the judge's standard --------------------------------------------------


def check_controls(bundle, rules, asked, terms, alpha):
    """Return the results of models that must not carry the mark. None may pass the test of a marked model."""
    results = []
    for count, lines in enumerate(bundle.get("controls", []), 1):
        own_rules, name, own_asked = read_transcript(lines)
        must(own_rules == rules, f"control {count} was asked under other rules or request options")
        must([each[:2] for each in own_asked] == [each[:2] for each in asked], f"control {count} was asked other keys")
        found, _ = evaluate(own_asked, bundle["openings"], rules, terms)
        must(found["p_value"] > max(alpha, rules["alpha"]), f"control {count} also gives the responses: this proves nothing")
        results.append({"name": name} | found)
    return results


def decide(found, null, rules, *, controls, commitment, nonce, judge):
    """Return the judge's outcome, the p-value that allows for the owner's choices, and the reasons against the claim."""
    (bound, error, log_e), size, manner = null, commitment["size"], rules["manner"]
    p_value, reasons = found["p_value"], []
    if nonce is None and log_e is not None:  # the owner chose the keys: every choice of as many could have been made
        answered = found["trials"] - found["unanswered"]
        choices = math.log(size) + math.lgamma(size + 1) - math.lgamma(answered + 1) - math.lgamma(size - answered + 1)
        p_value = max(p_value, math.exp(min(0.0, choices - log_e)))
    elif nonce is None:  # the owner chose the keys: the whole set has at least these hits
        tail = 1.0 if bound == 1 else sum(math.exp(log_probability(n, size, bound)) for n in range(found["hits"], size + 1))
        p_value = max(p_value, min(1.0, error + tail))
    p_value = min(1.0, p_value * rules["suspects"])
    if found["outcome"] == "owned" and p_value > judge["alpha"]:
        reasons.append(f"the p-value is {p_value:.2g}, above {judge['alpha']:.2g}")
    if rules["null"]["name"] not in judge["nulls"]:
        reasons.append(f"the null is of kind {rules['null']['name']} (--accept-null)")
    if not judge["any_manner"] and manner["system"] not in [None, *commitment["terms"].get("systems", [])]:
        reasons.append("the system prompt is not in the commitment (--accept-manner)")
    if not judge["any_manner"] and manner["temperature"] > 0:
        reasons.append("replies were sampled, so every repetition is another chance (--accept-manner)")
    for count, control in enumerate(controls, 1):
        if control["p_value"] <= 0.01 / len(controls):
            reasons.append(f"control {count} hits more keys than an innocent model")
        if 2 * control["unanswered"] > control["trials"]:
            reasons.append(f"control {count} left most keys unanswered")
    outcome = "owned" if p_value <= judge["alpha"] and not reasons else "inconclusive"
    return "not_shown" if found["outcome"] == "not_shown" else outcome, p_value, reasons


def notes_about(nonce, published, controls):
    notes = ["The owner wrote the transcript: ask suspect and controls yourself, or watch."]
    if nonce is None:
        notes.append("The owner chose which keys to show.")
    if published is None:
        notes.append("Compare root and signer with what was published before the dispute, or give --commitment.")
    if not controls:
        notes.append("No control was asked, so the suspect's public ancestors may give the same responses.")
    return notes


def audit(content, published=None, nonce=None, *, alpha=1e-6, nulls=("design",), any_manner=False):
    """Return what the bundle shows, or raise an error if something is invalid."""
    bundle = read_bundle(content)
    signed, commitment = bundle["commitment"], read_commitment(bundle["commitment"])
    must(published is None or json.loads(published) == signed, "not the commitment that was published")
    must(nonce in {None, bundle.get("nonce")}, "the bundle answers another challenge")
    must(bundle["public_key"] == signed["public_key"], "bundle and commitment are signed by different keys")
    check_signature(signed)
    check_signature(bundle)
    rules, suspect, asked = read_transcript(bundle["transcript"])
    openings, terms = sequence(bundle["openings"], 1, commitment["size"]), commitment["terms"]
    for opening in openings:
        check_opening(opening, commitment)
    check_questions(asked, openings, commitment, bundle.get("nonce"), rules)
    (found, null), claim = evaluate(asked, openings, rules, terms), bundle["claim"]
    must(math.isclose(found["p_value"], number(claim["p_value"], 0, 1), rel_tol=1e-6), "the claimed p-value is wrong")
    must(canonical(found | {"p_value": claim["p_value"]}) == canonical(claim), "the claimed result is wrong")
    controls = check_controls(bundle, rules, asked, terms, alpha)
    nonce, judge = bundle.get("nonce"), {"alpha": alpha, "nulls": nulls, "any_manner": any_manner}
    outcome, p_value, reasons = decide(found, null, rules, controls=controls, commitment=commitment, nonce=nonce, judge=judge)
    result = {"outcome": outcome, "p_value": p_value, "alpha": alpha, "reasons": reasons, "by_the_owners_rules": found}
    about = {"suspect": suspect, "rules": rules, "bound": null[0], "controls": controls, "nonce": nonce}
    source = {"root": commitment["root"], "size": commitment["size"], "signed_by": signed["public_key"]}
    return result | about | source | {"notes": notes_about(nonce, published, controls)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--commitment", type=Path, help="the published commitment; default: the bundle's own")
    parser.add_argument("--challenge", help="the judge's nonce")
    parser.add_argument("--alpha", type=float, default=1e-6, help="largest probability of accusing an innocent model")
    parser.add_argument("--accept-null", default="design", help="accepted nulls, comma-separated: design,reference,declared")
    parser.add_argument("--accept-manner", action="store_true", help="accept uncommitted system prompts, and sampling")
    given = parser.parse_args()
    try:
        published = given.commitment and given.commitment.read_bytes()
        options = {"alpha": given.alpha, "nulls": given.accept_null.split(","), "any_manner": given.accept_manner}
        result = audit(given.bundle.read_bytes(), published, given.challenge, **options)
    except Exception as error:  # noqa: BLE001  any error means that the bundle is invalid
        sys.exit(f"rejected: {error}" if type(error) is ValueError else f"rejected: malformed, {error!r}")
    print(json.dumps(result, indent=1))
    sys.exit({"owned": 0, "not_shown": 3, "inconclusive": 4}[result["outcome"]])


if __name__ == "__main__":
    main()
