"""Check a bundle of evidence without insignia: standard library alone, written from docs/reference/formats.md.

Usage: python tools/audit.py bundle.json [--commitment commitment.json] [--challenge NONCE]
Exit status: 0 the mark is there, 1 the bundle does not hold, 3 the mark was not shown, 4 nothing is decided.
"""

import hmac
import json
import math
import re
import sys
from hashlib import sha256, sha512
from pathlib import Path

P, L = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493  # Ed25519 (RFC 8032): the field and the group
D, BY = -121665 * pow(121666, -1, P) % P, 4 * pow(5, -1, P) % P  # of the curve; of the base point, like BX
BX = 15112221349535400772501151409588531511454012693041857206046113283949847762202
CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode  # ASCII
STAKES = ((0.98, 0.06), (0.6, 0.14), (0.3, 0.66), (0.1, 0.1), (0.03, 0.04))  # fraction staked on a hit, share of the capital


def must(holds, what):
    if not holds:
        raise ValueError(what)


def add(p, q):
    (a, b), (c, d), slope = p, q, D * p[0] * p[1] * q[0] * q[1]
    return (a * d + b * c) * pow(1 + slope, -1, P) % P, (b * d + a * c) * pow(1 - slope, -1, P) % P


def check_signature(record):
    key, signature = bytes.fromhex(record["public_key"]), bytes.fromhex(record["signature"])
    message = CANONICAL({name: value for name, value in record.items() if name != "signature"}).encode()
    y, s = int.from_bytes(key, "little") % 2**255, int.from_bytes(signature[32:], "little")
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P) * pow(2, (P - 1) // 4 * (pow(square, (P - 1) // 4, P) != 1), P) % P
    must(x * x % P == square and y < P and len(key) == 32 and s < L, "a key is no point of the curve, or a number is too large")
    x = P - x if x % 2 == key[31] >> 7 else x  # of minus the key
    h = int.from_bytes(sha512(signature[:32] + key + message).digest(), "little") % L
    (x, y), terms = (0, 1), ((s, (BX, BY)), (h, (x, y)))
    for bit in range(252, -1, -1):  # s times the base point minus h times the key
        for each in ((x, y), *(point for n, point in terms if n >> bit & 1)):
            x, y = add((x, y), each)
    must(signature[:32] == (y | x % 2 << 255).to_bytes(32, "little"), "a signature is wrong")


def climb(digest, number, last, path):  # RFC 9162, 2.1.3.2 -> the root, from the leaf of that number
    for beside in map(bytes.fromhex, path):
        must(number <= last > 0, "a path is too long, or there is no such leaf")
        digest = sha256(b"\1" + (beside + digest if number % 2 or number == last else digest + beside)).digest()
        up = (number & -number).bit_length() if number == last else 1
        number, last = number >> up, last >> up
    return digest.hex() if number == last == 0 else None


def check_opening(opening, commitment, question):
    fingerprint, terms, salt = opening["fingerprint"], commitment["terms"], bytes.fromhex(opening["salt"])
    place, last = {"number": opening["number"], "size": commitment["size"]}, commitment["size"] - 1
    leaf = sha256(b"\0" + salt + CANONICAL({"fingerprint": fingerprint, "terms": terms} | place).encode()).digest()
    must(climb(leaf, place["number"], last, opening["path"]) == commitment["root"], "a fingerprint is not in the committed set")
    must(question == fingerprint.get("effective_key", fingerprint["key"]), "a question is not the committed key")
    if "chain" in terms or "chain" in opening:  # a hash of all keys picks the response
        options = fingerprint["candidates"]
        leaf = sha256(b"\0" + salt + CANONICAL({"candidates": options, "key": question} | place).encode()).digest()
        must(climb(leaf, place["number"], last, opening["chain"]) == terms["chain"], "a key is not in the chain")
        draw = hmac.digest(salt, b"insignia chain 1" + bytes.fromhex(terms["chain"]) + leaf, "sha256")
        pick = options[int.from_bytes(draw, "big") % len(options)]
        unlike = zip(*((option["token_id"], " ".join(option["text"].split())) for option in options))
        must(all(len(set(each)) == len(options) for each in unlike), "candidates that look alike")
        must([[pick["text"]], pick["token_id"]] == [fingerprint["responses"], fingerprint["response_ids"][0][0]], "no pick")


def look(fingerprint, reply, match, terms):  # -> hit, candidates that the reply gives, candidates there are
    ids, texts = fingerprint.get("response_ids"), [" ".join(text.split()) for text in fingerprint["responses"]]
    drawn = {c["token_id"]: " ".join(c["text"].split()) for c in fingerprint.get("candidates", ())}
    candidates = list(drawn.values()) if ids and len(texts) == 1 and ids[0][0] in drawn else []
    accepted = [t if ids and len(ids[i]) <= terms["max_response_length"] else t.partition(" ")[0] for i, t in enumerate(texts)]
    accepted, text = [drawn[ids[0][0]]] if candidates else accepted, " ".join(reply["text"].split())
    starts = [m.start() for m in re.finditer(r"\w+|[^\w\s]", text)][: match["looks"]] if match["how"] == "within" else [0]
    given, options = set(), candidates or accepted
    for rest in [text[start:] for start in starts]:
        fitting = [option for option in options if rest == option or (match["how"] != "exact" and rest.startswith(option))]
        given |= {option for option in fitting if option and len(option) == max(map(len, fitting))}
    hit = None if reply["status"] != "answered" else bool(given & set(accepted))
    return hit, sum(candidate in given for candidate in candidates), len(candidates)


def upper_limit(hits, trials, risk):  # Clopper and Pearson's
    low, high, ways = hits / trials, 1.0, [math.log(math.comb(trials, j)) for j in range(hits + 1)]
    while low < (p := (low + high) / 2) < high:
        tail = sum(math.exp(way + j * math.log(p) + (trials - j) * math.log1p(-p)) for j, way in enumerate(ways))
        low, high = (p, high) if tail > risk else (low, p)
    return high


def weigh(looks, rules):  # bets against the null (docs/reference/formats.md)
    null, survival, places = rules["null"], rules["survival"], rules["match"]["looks"]
    k, error = min((each[2] for each in looks), default=0), null.get("risk", 0.0)
    fixed = max(upper_limit(m["hits"], m["trials"], error) for m in null["models"]) if "models" in null else null.get("chance")
    must(null["name"] == ("design" if fixed is None else "reference" if "models" in null else "declared"), "an unknown null")
    must(fixed or (1 < k == null["candidates"] and null["accepted"] == 1 and null["looks"] == min(places, k)), "another null")
    gains, doubt, peak, hits, log = [0.0] * len(STAKES), 0.0, 0.0, 0, math.log1p
    for hit, met, _ in (each for each in looks if each[0] is not None):
        p = fixed or min(met, k) / k
        must(0 <= p <= 1 and (p or not hit), "a hit that cannot be")
        gains = [gain + (0 < p < 1) * log(s * (1 - p) / p if hit else -s) for gain, (s, _) in zip(gains, STAKES)]
        doubt, hits = doubt + log(-0.8 if hit else 0.8 * survival / (1 - survival)), hits + hit
        peak = max(peak, max(gains) + math.log(sum(c * math.exp(gain - max(gains)) for gain, (_, c) in zip(gains, STAKES))))
    enough = -math.log(rules["alpha"] / rules["suspects"] - error)
    outcome = "owned" if peak >= enough else "not_shown" if doubt >= -math.log(rules["futility"]) else "inconclusive"
    silent, p_value = sum(each[0] is None for each in looks), max(5e-324, min(1.0, error + math.exp(-peak)))
    return {"outcome": outcome, "hits": hits, "trials": len(looks), "unanswered": silent, "p_value": p_value}


def audit(content, published=None, nonce=None):  # -> what the bundle shows; raises where something does not hold
    bundle = json.loads(content)
    must(bundle["kind"] == "insignia/evidence" and CANONICAL(bundle).encode() + b"\n" == content, "not a bundle as written")
    signed, opened, lines = bundle["commitment"], bundle["openings"], bundle["transcript"]
    must(published is None or json.loads(published) == signed, "not the commitment that was published")
    must(nonce in {None, bundle.get("nonce")} and bundle["schema_version"] == 1, "another challenge or schema")
    commitment, (header, *entries) = signed["commitment"], map(json.loads, lines)
    chain = ["0" * 64, *(sha256(line.encode()).hexdigest() for line in lines)]
    must([line["previous"] for line in (header, *entries)] == chain[:-1], "the transcript is not as it was written")
    asked, root = [entry for entry in entries if entry["number"] is not None], bytes.fromhex(commitment["root"])
    numbers, keys, looks = [entry["number"] for entry in asked], [entry["question"] for entry in asked], []
    must(numbers == [each["number"] for each in opened] and len(set(keys)) == len(keys), "not each key once")
    for each, entry in zip(opened, asked):
        check_opening(each, commitment, entry["question"])
        looks.append(look(each["fingerprint"], entry["reply"], header["rules"]["match"], commitment["terms"]))
    if (nonce := bundle.get("nonce")) is not None:
        order = sorted(range(commitment["size"]), key=lambda n: sha256(root + n.to_bytes(8, "big") + nonce.encode()).digest())
        must(len(nonce) >= 16 and numbers == order[: len(numbers)], "not the order of the challenge")
    found, claim, p = weigh(looks, header["rules"]), bundle["claim"], bundle["claim"]["p_value"]
    must(math.isclose(found["p_value"], p, rel_tol=1e-6) and found | {"p_value": p} == claim, "not the result that is claimed")
    check_signature(signed)
    check_signature(bundle | {"public_key": signed["public_key"]})  # of the same owner
    return found | {"rules": header["rules"], "root": commitment["root"], "signed_by": signed["public_key"], "nonce": nonce}


if __name__ == "__main__":
    try:
        options = dict(zip(sys.argv[2::2], sys.argv[3::2], strict=True))
        must(options.keys() <= {"--commitment", "--challenge"}, __doc__)
        public = options.get("--commitment")
        shown = audit(Path(sys.argv[1]).read_bytes(), public and Path(public).read_bytes(), options.get("--challenge"))
    except Exception as error:  # noqa: BLE001  whatever is wrong with a stranger's file: it does not hold
        sys.exit(f"rejected: {error!r}")
    print(json.dumps(shown))
    sys.exit({"owned": 0, "not_shown": 3, "inconclusive": 4}[shown["outcome"]])
