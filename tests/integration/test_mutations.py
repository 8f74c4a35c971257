"""Seeded changes of a bundle of evidence: our audit and the independent script reject every one.

Half of the changes to its content are signed again with the owner's own key, for an owner may lie; the others keep the
signature, or take a stranger's.
"""

import functools
import hashlib
import json
import random
from typing import NamedTuple

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from disputed_set import NONCE, ask, independent_audit
from drawn_prints import chained, drawn, ordered, scores
from insignia.errors import EvidenceError
from insignia.evidence.bundle import Bundle, audit, disclose
from insignia.evidence.challenge import challenge_order
from insignia.evidence.publication import owner_rng, publish
from insignia.files import canonical
from insignia.fingerprints.sets import FingerprintSet
from insignia.suspects.base import Alternative, Reply
from insignia.verification.protocol import rules_for
from two_audits import accepts

USUAL, MANY = 100, 1000  # changes by default, and with -m slow
STRANGER = drawn(secret=b"t" * 32)


def published(prints):
    return publish(prints, {"model.safetensors": "sha256:" + "00" * 32})


FOREIGN = published(STRANGER)


class Dispute(NamedTuple):
    """An owner's set, and bundles from it, each with a control: under the judge's nonce, and of an earlier challenge."""

    owner: FingerprintSet
    bundles: list[Bundle]


def by_text(owner):
    return lambda number: Reply.said(owner.fingerprints[number].responses[0]), lambda _: Reply.said("No."), "text"


def by_ranks(owner):
    """Scores for most keys; then the host closes the channel, and shows its likeliest tokens, its choice, and text."""
    order = list(challenge_order(published(owner).commitment.root, NONCE, len(owner)))

    def replies(number):
        fingerprint, later = owner.fingerprints[number], {5: "top", 6: "choice", 7: "text"}.get(order.index(number))
        shown = [Alternative(text=fingerprint.candidates[each].text, log_probability=-place - 0.5)
                 for place, each in enumerate(fingerprint.order[:5])]  # fmt: skip
        if later == "top":
            return Reply(status="answered", channel="top", alternatives=tuple(shown))
        return scores(fingerprint) if later is None else Reply(status="answered", channel=later, text=fingerprint.responses[0])

    def control(number):
        return Reply(status="answered", channel="scores", scores=(-2.5,) * 8 + tuple(-3.0 - i for i in range(8)))

    return replies, control, "scores"


@pytest.fixture(
    scope="module", params=[(chained, by_text), (functools.partial(ordered, tokens=2), by_ranks)], ids=["text", "ranks"]
)
def dispute(request, tmp_path_factory):
    make, ways = request.param
    owner = make()
    replies, controls, channel = ways(owner)
    folder, commitment = tmp_path_factory.mktemp("bundles"), published(owner)
    about = {"root": commitment.commitment.root, "rules": rules_for(owner, channel=channel)}
    made = []
    for nonce in (NONCE, "an earlier challenge"):
        if nonce != NONCE and channel != "text":
            about["order"] = None
            replies = functools.partial(lambda owner, number: scores(owner.fingerprints[number]), owner)
        asked = ask(owner, replies, folder / nonce, nonce=nonce, **about)
        control = ask(owner, controls, folder / f"control of {nonce}", nonce=nonce, **about)
        made.append(disclose(owner, commitment, asked, nonce=nonce, controls=[control]))
    return Dispute(owner, made)


def bit_flips(value, rng):
    content = bytearray(canonical(value) + b"\n")
    for _ in range(rng.choice([1, 1, 1, 2, 5])):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    return bytes(content)


def swapped_leaves(value, rng):
    one, other = rng.sample(value["openings"], 2)
    link = "chain" if "chain" in one else "path"
    for name in rng.choice([["fingerprint"], ["salt"], ["path"], [link], ["number"], ["fingerprint", "salt"], list(one)]):
        one[name], other[name] = other[name], one[name]
    return value


def linked(lines):
    """The lines, each with the digest of the one before it, as one who forges a transcript would write them."""
    previous, result = "0" * 64, []
    for line in lines:
        result.append(canonical(json.loads(line) | {"previous": previous}).decode())
        previous = hashlib.sha256(result[-1].encode()).hexdigest()
    return result


def edited_replies(value, rng):
    lines = [json.loads(line) for line in value["transcript"]]
    entry = rng.choice([line for line in lines if line.get("number") is not None])
    told, last = entry["reply"], lines[-1]["reply"].get("channel", "text")
    entry["reply"] = rng.choice([
        {"status": "answered", "text": "No.", "reason": ""},
        {"status": "unanswered", "text": "", "reason": "timed out"},
        *([told | {"scores": told["scores"][::-1]}, told | {"scores": told["scores"][1:]},
           told | {"scores": [0.5, *told["scores"][1:]]}, told | {"scores": [-7.25] * 16}] if "scores" in told else []),
        *([told | {"alternatives": told["alternatives"][::-2]}] if "alternatives" in told else []),
        *([told | {"channel": rng.choice(["top", "choice", "scores", "text", 1])}] if last == "text" else []),
    ])  # fmt: skip
    if entry["reply"] == told:
        entry["reply"] = told | {"text": told["text"] + "!", "channel": "no"}
    value["transcript"] = rng.choice([linked, list])([canonical(line).decode() for line in lines])
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
    value["transcript"] = rng.choice([linked, list])([header, *lines])
    return value


NONSENSE = (-1, -1.0, 0, 2, True, None, "0.5", [], {}, 10**30, 1e30, float("nan"))


def impossible_rules(value, rng):
    """Of suspect and control alike, since both have the same."""
    header = json.loads(value["transcript"][0])
    name = rng.choice(["alpha", "suspects", "survival", "futility", "cover", "null", "match", "manner", "channel", "bonus"])
    if name in {"null", "match", "manner"} and rng.randrange(2):
        header["rules"][name]["bonus"] = rng.choice(NONSENSE)
    else:
        header["rules"][name] = rng.choice([junk for junk in NONSENSE if (name, junk) != ("suspects", 2)])
    for transcripts in (value["transcript"], value["controls"][0]):
        own = json.loads(transcripts[0]) | {"rules": header["rules"]}
        transcripts[:] = linked([json.dumps(own), *transcripts[1:]])
    return value


def edited_controls(value, rng):
    (lines,) = value["controls"]
    keys = [place for place, line in enumerate(lines) if json.loads(line).get("number") is not None]
    match rng.randrange(6):
        case 0:
            value["controls"] = [value["transcript"]]
        case 1:
            del lines[rng.choice(keys)]
            value["controls"] = [linked(lines)]
        case 2:
            one, other = rng.sample(keys, 2)
            lines[one] = lines[other]
        case 3:
            value["controls"] = rng.choice([[], [[]], [lines] * 17, "no", [lines[:1]], {}, [None]])
        case 4:
            header = json.loads(lines[0])
            header["rules"]["manner"]["max_tokens"] += rng.choice([1, 5])
            value["controls"] = [linked([canonical(header).decode(), *lines[1:]])]
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
    if name == "by_channel":
        claim[name] = rng.choice([{"text": 8}, {}, {"scores": 8}, claim[name] | {"text": 2}])
    elif name == "outcome":
        claim[name] = rng.choice(["not_shown", "inconclusive"])
    elif name == "p_value":
        claim[name] *= rng.uniform(0, 0.99)
    else:
        claim[name] += rng.choice([-1, 1])
    return value


def signed_again(value, rng, owner):
    """By the owner, by a stranger, or not at all."""
    prints = rng.choice([owner, owner, STRANGER, None])
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


@pytest.mark.parametrize(
    "changes", [range(USUAL), pytest.param(range(USUAL, MANY), marks=pytest.mark.slow)], ids=["usual", "many"]
)
def test_changed_bundles_are_rejected_by_both_audits(dispute, changes):
    bundle, _ = dispute.bundles
    accepted = []
    for number in changes:
        rng = random.Random(number)
        change = rng.choice((bit_flips, *CHANGES))
        mutated = change(json.loads(bundle.content()), rng)
        content = mutated if isinstance(mutated, bytes) else signed_again(mutated, rng, dispute.owner)
        assert content != bundle.content()
        accepted += [(number, change.__name__, "ours") for _ in range(accepts(audit, EvidenceError, content))]
        accepted += [(number, change.__name__, "script") for _ in range(accepts(independent_audit, Exception, content))]
    assert accepted == []


@pytest.mark.parametrize("check", [audit, independent_audit], ids=["ours", "script"])
def test_what_was_not_changed_is_accepted(dispute, check):
    unsigned = random.Random(0)
    unsigned.choice = lambda signers: signers[0]
    for bundle in dispute.bundles:
        check(bundle.content())
        assert signed_again(json.loads(bundle.content()), unsigned, dispute.owner) == bundle.content()


def test_both_audits_find_the_same(dispute):
    found, again = audit(dispute.bundles[0].content()), independent_audit(dispute.bundles[0].content())
    assert (found.judgement.outcome, again["outcome"]) == ("owned", "owned")
    assert again["p_value"] == pytest.approx(found.judgement.p_value, rel=1e-9)


def test_a_whole_bundle_of_an_earlier_challenge_is_rejected(dispute):
    for check, rejection in ((audit, EvidenceError), (independent_audit, ValueError)):
        check(dispute.bundles[1].content())
        with pytest.raises(rejection, match="another challenge"):
            check(dispute.bundles[1].content(), nonce=NONCE)
