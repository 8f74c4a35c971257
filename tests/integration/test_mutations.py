"""Seeded changes of a bundle of evidence: our audit and the independent script reject every one.

Half of the changes to its content are signed again with the owner's own key, for an owner may lie; the others keep the
signature, or take a stranger's.
"""

import hashlib
import json
import random

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from disputed_set import NONCE, ask, independent_audit
from drawn_prints import chained, drawn
from insignia.errors import EvidenceError
from insignia.evidence.bundle import audit, disclose
from insignia.evidence.publication import owner_rng, publish
from insignia.files import canonical
from insignia.suspects.base import Reply

OWNER, STRANGER = chained(), drawn(secret=b"t" * 32)
USUAL, MANY = 200, 1000  # changes by default, and with -m slow
PUBLISHED, FOREIGN = (publish(prints, {"model.safetensors": "sha256:" + "00" * 32}) for prints in (OWNER, STRANGER))


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    """The bundle under the judge's nonce, and one of an earlier challenge, each with a control."""

    def replies(number):
        return Reply.said(OWNER.fingerprints[number].responses[0])

    folder = tmp_path_factory.mktemp("bundles")
    root = PUBLISHED.commitment.root
    made = []
    for nonce in (NONCE, "an earlier challenge"):
        asked = ask(OWNER, replies, folder / nonce, root=root, nonce=nonce)
        control = ask(OWNER, lambda _: Reply.said("No."), folder / f"control of {nonce}", root=root, nonce=nonce)
        made.append(disclose(OWNER, PUBLISHED, asked, nonce=nonce, controls=[control]))
    return made


def bit_flips(value, rng):
    content = bytearray(canonical(value) + b"\n")
    for _ in range(rng.choice([1, 1, 1, 2, 5])):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    return bytes(content)


def swapped_leaves(value, rng):
    one, other = rng.sample(value["openings"], 2)
    for name in rng.choice([["fingerprint"], ["salt"], ["path"], ["chain"], ["number"], ["fingerprint", "salt"], list(one)]):
        one[name], other[name] = other[name], one[name]
    return value


def chained(lines):
    """The lines, each with the digest of the one before it, as one who forges a transcript would write them."""
    previous, result = "0" * 64, []
    for line in lines:
        result.append(canonical(json.loads(line) | {"previous": previous}).decode())
        previous = hashlib.sha256(result[-1].encode()).hexdigest()
    return result


def edited_replies(value, rng):
    lines = [json.loads(line) for line in value["transcript"]]
    entry = rng.choice([line for line in lines if line.get("number") is not None])
    entry["reply"] = rng.choice([
        {"status": "answered", "text": "No.", "reason": ""},
        {"status": "unanswered", "text": "", "reason": "timed out"},
    ])  # fmt: skip
    value["transcript"] = rng.choice([chained, list])([canonical(line).decode() for line in lines])
    return value


def reordered_transcript(value, rng):
    header, *lines = value["transcript"]
    keys = [place for place, line in enumerate(lines) if json.loads(line)["number"] is not None]
    one, other = rng.sample(keys, 2)
    match rng.randrange(4):
        case 0:
            lines[one], lines[other] = lines[other], lines[one]
        case 1:
            del lines[one]
        case 2:
            lines.insert(other, lines[one])
        case 3:
            lines.reverse()
    value["transcript"] = rng.choice([chained, list])([header, *lines])
    return value


NONSENSE = (-1, -1.0, 0, 2, True, None, "0.5", [], {}, 10**30, 1e30, float("nan"))


def impossible_rules(value, rng):
    """Of suspect and control alike, since both have the same."""
    header = json.loads(value["transcript"][0])
    name = rng.choice(["alpha", "suspects", "survival", "futility", "cover", "null", "match", "manner", "bonus"])
    if name in {"null", "match", "manner"} and rng.randrange(2):
        header["rules"][name]["bonus"] = rng.choice(NONSENSE)
    else:
        header["rules"][name] = rng.choice([junk for junk in NONSENSE if (name, junk) != ("suspects", 2)])
    for transcripts in (value["transcript"], value["controls"][0]):
        own = json.loads(transcripts[0]) | {"rules": header["rules"]}
        transcripts[:] = chained([json.dumps(own), *transcripts[1:]])
    return value


def edited_controls(value, rng):
    (lines,) = value["controls"]
    keys = [place for place, line in enumerate(lines) if json.loads(line).get("number") is not None]
    match rng.randrange(6):
        case 0:
            value["controls"] = [value["transcript"]]
        case 1:
            del lines[rng.choice(keys)]
            value["controls"] = [chained(lines)]
        case 2:
            one, other = rng.sample(keys, 2)
            lines[one] = lines[other]
        case 3:
            value["controls"] = rng.choice([[], [[]], [lines] * 17, "no", [lines[:1]], {}, [None]])
        case 4:
            header = json.loads(lines[0])
            header["rules"]["manner"]["max_tokens"] += rng.choice([1, 5])
            value["controls"] = [chained([canonical(header).decode(), *lines[1:]])]
        case 5:
            lines[1], lines[-1] = lines[-1], lines[1]
    return value


def other_root(value, rng):
    signed = value["commitment"]
    match rng.randrange(4):
        case 0:
            signed["commitment"]["root"] = rng.randbytes(32).hex()
        case 1:
            signed["commitment"] = FOREIGN.plain()["commitment"]
        case 2:
            value["commitment"] = FOREIGN.plain()
        case 3:
            signed["commitment"]["size"] = rng.choice([8, 63, 65, 128])
    return value


def replayed_nonce(value, rng):
    value["nonce"] = rng.choice(["an earlier challenge", NONCE + " ", NONCE.upper(), rng.randbytes(16).hex(), "8c1f07", ""])
    return value


def another_claim(value, rng):
    claim = value["claim"]
    name = rng.choice(list(claim))
    if name == "outcome":
        claim[name] = rng.choice(["not_shown", "inconclusive"])
    elif name == "p_value":
        claim[name] *= rng.uniform(0, 0.99)
    else:
        claim[name] += rng.choice([-1, 1])
    return value


def signed_again(value, rng):
    """By the owner, by a stranger, or not at all."""
    prints = rng.choice([OWNER, OWNER, STRANGER, None])
    if prints is not None:
        key = Ed25519PrivateKey.from_private_bytes(owner_rng(prints).derive("signing key").secret)
        value["public_key"] = key.public_key().public_bytes_raw().hex()
        value["signature"] = key.sign(canonical({name: part for name, part in value.items() if name != "signature"})).hex()
    return canonical(value) + b"\n"


CHANGES = (
    swapped_leaves,
    edited_replies,
    reordered_transcript,
    other_root,
    replayed_nonce,
    another_claim,
    impossible_rules,
    edited_controls,
)


def accepts(check, rejection, content):
    try:
        check(content)
    except rejection:
        return False
    return True


@pytest.mark.parametrize(
    "changes", [range(USUAL), pytest.param(range(USUAL, MANY), marks=pytest.mark.slow)], ids=["usual", "many"]
)
def test_changed_bundles_are_rejected_by_both_audits(bundles, changes):
    bundle, _ = bundles
    accepted = []
    for number in changes:
        rng = random.Random(number)
        change = rng.choice((bit_flips, *CHANGES))
        mutated = change(json.loads(bundle.content()), rng)
        content = mutated if isinstance(mutated, bytes) else signed_again(mutated, rng)
        assert content != bundle.content()
        accepted += [(number, change.__name__, "ours") for _ in range(accepts(audit, EvidenceError, content))]
        accepted += [(number, change.__name__, "script") for _ in range(accepts(independent_audit, Exception, content))]
    assert accepted == []


@pytest.mark.parametrize("check", [audit, independent_audit], ids=["ours", "script"])
def test_what_was_not_changed_is_accepted(bundles, check):
    unsigned = random.Random(0)
    unsigned.choice = lambda signers: signers[0]
    for bundle in bundles:
        check(bundle.content())
        assert signed_again(json.loads(bundle.content()), unsigned) == bundle.content()


def test_a_whole_bundle_of_an_earlier_challenge_is_rejected(bundles):
    for check, rejection in ((audit, EvidenceError), (independent_audit, ValueError)):
        check(bundles[1].content())
        with pytest.raises(rejection, match="another challenge"):
            check(bundles[1].content(), nonce=NONCE)
