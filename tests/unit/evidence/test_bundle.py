import json
import math
import sys

import pytest

from disputed_set import AUDIT_SCRIPT, NONCE, ask, independent_audit
from drawn_prints import chained, drawn
from insignia.errors import EvidenceError, InputError
from insignia.evidence.bundle import Bundle, Claim, audit, disclose
from insignia.evidence.chain import Chain, Link, salt_of
from insignia.evidence.commitment import Commitment, Terms, open_fingerprints
from insignia.evidence.merkle import leaf_hash, tree_root
from insignia.evidence.publication import SignedCommitment, owner_rng, publish
from insignia.evidence.standard import Standard
from insignia.files import canonical
from insignia.statistics.nulls import DeclaredNull, ReferenceNull, ReferenceTrials
from insignia.statistics.tails import log_binomial_tail
from insignia.suspects.base import Alternative, Reply
from insignia.verification.matching import Match
from insignia.verification.protocol import judge, rules_for

PRINTS = drawn()
PUBLISHED = publish(PRINTS, {"model.safetensors": "sha256:" + "00" * 32})
ROOT = PUBLISHED.commitment.root


def says(kept=lambda number: True):
    return lambda number: Reply.said(PRINTS.fingerprints[number].responses[0] + " and so on" if kept(number) else "No.")


def test_what_is_disclosed_passes_both_audits_with_the_verdict_of_the_transcript(tmp_path):
    transcript = ask(PRINTS, says(), tmp_path / "t.jsonl", root=ROOT)
    bundle = disclose(PRINTS, PUBLISHED, transcript, nonce=NONCE)
    bundle.save(tmp_path / "bundle.json")
    content = (tmp_path / "bundle.json").read_bytes()

    found = audit(content, published=PUBLISHED, nonce=NONCE)
    assert found.verdict == judge(PRINTS, transcript)
    assert (found.verdict.outcome, found.verdict.hits) == ("owned", 8)
    assert found.bundle == bundle
    again = independent_audit(content, json.dumps(PUBLISHED.plain()), NONCE)
    assert again.items() >= {"root": ROOT, "nonce": NONCE, "signed_by": PUBLISHED.public_key}.items()
    assert again["p_value"] == pytest.approx(found.verdict.p_value)
    assert (tmp_path / "bundle.json").stat().st_mode & 0o777 == 0o600


def test_alternatives_are_a_part_of_the_bundle_and_change_neither_audit(tmp_path):
    given = (Alternative(text=" no", log_probability=-1),)
    alike = ask(PRINTS, lambda number: Reply.said(says()(number).text, given), tmp_path / "t.jsonl", root=ROOT)
    content = disclose(PRINTS, PUBLISHED, alike, nonce=NONCE).content()

    found, again = audit(content).verdict, independent_audit(content, None, NONCE)
    assert (
        (found.outcome, found.hits, found.near)
        == (again["outcome"], again["by_the_owners_rules"]["hits"], 0)
        == ("owned", 8, 0)
    )


def test_only_the_keys_that_were_asked_are_opened(tmp_path):
    bundle = disclose(PRINTS, PUBLISHED, ask(PRINTS, says(), tmp_path / "t.jsonl", root=ROOT, count=3), nonce=NONCE)
    text = bundle.content().decode()

    assert [f.key in text for f in PRINTS].count(True) == len(bundle.openings) == 3
    assert PRINTS.secret not in text
    assert PRINTS.fingerprints[bundle.openings[0].number].key not in repr(bundle)


REFERENCE = ReferenceNull(models=(ReferenceTrials(hits=3, trials=200), ReferenceTrials(hits=0, trials=1024)))
RULES = {
    "design": {},
    "prefix, declared": {"null": DeclaredNull(chance=0.01)},
    "exact": {"match": Match(how="exact")},
    "within": {"match": Match(how="within", looks=4)},
    "reference": {"null": REFERENCE},
    "two suspects": {"suspects": 2, "alpha": 1e-3},
}


@pytest.mark.parametrize("options", RULES.values(), ids=RULES)
@pytest.mark.parametrize("kept", [1, 2, 5, 100])
def test_the_two_audits_agree_under_any_rules(tmp_path, options, kept):
    def replies(number):
        if number % 7 == 3:
            return Reply.unanswered("timed out")
        fingerprint = PRINTS.fingerprints[number]
        said = fingerprint.responses[0] if number % kept == 0 else fingerprint.candidates[number % 5].text
        return Reply.said(said if number % 2 else f"{said}, {fingerprint.candidates[1].text} they said")

    transcript = ask(PRINTS, replies, tmp_path / "t.jsonl", order=range(40), rules=rules_for(PRINTS, **options), count=40)
    bundle = disclose(PRINTS, PUBLISHED, transcript)
    shown = independent_audit(bundle.content())
    claim = shown["by_the_owners_rules"]

    assert math.isclose(claim["p_value"], bundle.claim.p_value, rel_tol=1e-9)
    assert claim.items() >= bundle.claim.model_dump(exclude={"p_value"}).items()
    for standard in (Standard(), Standard(alpha=0.05, nulls=("design", "reference", "declared"))):
        judged = audit(bundle.content(), standard=standard).judgement
        again = independent_audit(bundle.content(), alpha=standard.alpha, nulls=standard.nulls)
        assert (again["outcome"], len(again["reasons"])) == (judged.outcome, len(judged.reasons))
        assert again["p_value"] == pytest.approx(judged.p_value, rel=1e-7)


def test_a_set_of_another_commitment_is_not_disclosed(tmp_path):
    transcript = ask(PRINTS, says(), tmp_path / "t.jsonl", root=ROOT)
    with pytest.raises(InputError, match="not of this set"):
        disclose(drawn(secret=b"t" * 32), PUBLISHED, transcript)
    with pytest.raises(InputError, match="not of this set"):
        disclose(PRINTS.first(9), PUBLISHED, transcript)


def test_keys_in_another_order_than_the_challenges_are_not_disclosed(tmp_path):
    chosen = ask(PRINTS, says(), tmp_path / "t.jsonl", order=range(64))
    with pytest.raises(EvidenceError, match="order of the challenge"):
        disclose(PRINTS, PUBLISHED, chosen, nonce=NONCE)
    with pytest.raises(EvidenceError, match="at least 16"):
        disclose(PRINTS, PUBLISHED, chosen, nonce="short")
    assert disclose(PRINTS, PUBLISHED, chosen).nonce is None


def test_an_edited_transcript_is_not_disclosed(tmp_path):
    file = ask(PRINTS, says(lambda number: number % 2), tmp_path / "t.jsonl", root=ROOT)
    file.write_text(file.read_text().replace("No.", "Yes", 1))
    with pytest.raises(EvidenceError, match="does not follow"):
        disclose(PRINTS, PUBLISHED, file, nonce=NONCE)
    file.write_text("")
    with pytest.raises(EvidenceError, match="not a transcript"):
        disclose(PRINTS, PUBLISHED, file)


def signed_again(bundle, prints=PRINTS, **changes):
    """What an owner can make who does not mind signing a lie."""
    fields = {name: getattr(bundle, name) for name in ("commitment", "nonce", "openings", "transcript", "claim")}
    return Bundle.sign(owner_rng(prints), **(fields | changes)).content()


CHAINED = chained()
CHAINED_PUBLISHED = publish(CHAINED, PUBLISHED.weights)


@pytest.fixture
def chained_bundle(tmp_path):
    root = CHAINED_PUBLISHED.commitment.root
    asked = ask(CHAINED, lambda n: Reply.said(CHAINED.fingerprints[n].responses[0]), tmp_path / "chained", root=root)
    return disclose(CHAINED, CHAINED_PUBLISHED, asked, nonce=NONCE)


def test_the_chain_of_a_set_is_committed_to_and_both_audits_follow_it(chained_bundle):
    content = chained_bundle.content()

    assert chained_bundle.commitment.commitment.terms.chain == CHAINED.chain
    assert audit(content).verdict.grinding_bits == pytest.approx(8 * 4)
    assert independent_audit(content)["outcome"] == "owned"


def test_keys_that_the_owner_chose_are_counted_as_chosen_from_the_whole_set(tmp_path):
    own = ask(CHAINED, lambda n: Reply.said(CHAINED.fingerprints[n].responses[0]), tmp_path / "own", order=range(64))
    found = audit(disclose(CHAINED, CHAINED_PUBLISHED, own).content()).verdict

    assert found.outcome == "owned"
    assert found.grinding_bits == pytest.approx(-log_binomial_tail(8, 64, 1 / 16) / math.log(2))


def committed_anyway(prints):
    """The commitment to a set whose responses are not those of its chain, as one makes it who changed this program."""
    chance, honest = owner_rng(prints), prints.model_copy(update={"chain": None})
    terms = Terms(**{name: getattr(prints, name) for name in Terms.model_fields if name != "systems"})
    leaves = [
        leaf_hash(
            salt_of(chance, number)
            + canonical({
                "fingerprint": fingerprint.model_dump(mode="json", exclude_none=True),
                "number": number,
                "size": len(honest),
                "terms": terms.model_dump(mode="json", exclude_none=True),
            })
        )
        for number, fingerprint in enumerate(honest)
    ]  # fmt: skip
    commitment = Commitment(size=len(prints), terms=terms, root=tree_root(leaves).hex())
    signed = SignedCommitment.sign(chance, commitment=commitment, weights=PUBLISHED.weights, created="2026-11-21")
    return signed, open_fingerprints(prints, chance, range(8))


def another_response(fingerprint):
    pick = next(c for c in fingerprint.candidates if c.text != fingerprint.responses[0])
    return fingerprint.model_copy(update={"responses": (pick.text,), "response_ids": ((pick.token_id,),)})


def candidates_in_another_order(fingerprint):
    return fingerprint.model_copy(update={"candidates": fingerprint.candidates[1:] + fingerprint.candidates[:1]})


def two_candidates_with_one_token(fingerprint):
    first, *others = fingerprint.candidates
    token = fingerprint.response_ids[0][0]
    return fingerprint.model_copy(update={"candidates": (first.model_copy(update={"token_id": token}), *others)})


def two_candidates_that_look_alike(fingerprint):
    first, second, *others = fingerprint.candidates
    candidates = (first, second.model_copy(update={"text": f"{first.text} "}), *others)
    return fingerprint.model_copy(update={"candidates": candidates})


def another_text_to_search_for(fingerprint):
    pick = next(c for c in fingerprint.candidates if c.text != fingerprint.responses[0])
    return fingerprint.model_copy(update={"effective_responses": (pick.text,)})


CHANGES = [
    another_response,
    another_text_to_search_for,
    candidates_in_another_order,
    two_candidates_with_one_token,
    two_candidates_that_look_alike,
]


@pytest.mark.parametrize("change", CHANGES)
def test_an_owner_cannot_choose_a_response(tmp_path, change):
    number = next(n for n, f in enumerate(CHAINED) if f.responses[0] != f.candidates[0].text)
    changed = [change(f) if n == number else f for n, f in enumerate(CHAINED)]
    prints = CHAINED.model_copy(update={"fingerprints": tuple(changed)})
    with pytest.raises(InputError, match="chain"):
        publish(prints, PUBLISHED.weights)

    signed, openings = committed_anyway(prints)
    said = lambda n: Reply.said(prints.fingerprints[n].responses[0])  # noqa: E731
    asked = ask(prints, said, tmp_path / "t", order=range(8), rules=rules_for(CHAINED))
    claim = Claim.of(judge(CHAINED, asked))
    lines = tuple(asked.read_text().splitlines())
    bundle = Bundle.sign(owner_rng(prints), commitment=signed, openings=openings, transcript=lines, claim=claim)
    assert all(signed.commitment.holds(opening) for opening in openings)
    with pytest.raises(EvidenceError, match="not the one that the chain picks"):
        audit(bundle.content())
    with pytest.raises(ValueError, match=r"chain|pick|alike|searched"):
        independent_audit(bundle.content())


@pytest.mark.parametrize("alike", [{"text": " amber "}, {"token_id": 0}])
def test_candidates_that_look_alike_in_the_chain_itself_are_rejected(tmp_path, alike):
    """They would be hit more often than one in so many, and the grinding bits told too high."""
    candidates = CHAINED.fingerprints[0].candidates
    candidates = (*candidates[:1], *(each.model_copy(update=alike) for each in candidates[1:9]), *candidates[9:])
    fingerprints = [each.model_copy(update={"candidates": candidates}) for each in CHAINED]
    chain = Chain([Link.of(each) for each in fingerprints], owner_rng(CHAINED))
    picks = [chain.pick(number) for number in range(64)]
    prints = CHAINED.model_copy(
        update={
            "chain": chain.root,
            "fingerprints": tuple(
                each.model_copy(update={"responses": (pick.text,), "response_ids": ((pick.token_id,),)})
                for each, pick in zip(fingerprints, picks, strict=True)
            ),
        }
    )
    with pytest.raises(InputError, match="chain"):
        publish(prints, PUBLISHED.weights)
    signed, openings = committed_anyway(prints)
    said = lambda n: Reply.said(prints.fingerprints[n].responses[0])  # noqa: E731
    asked = ask(prints, said, tmp_path / "t", order=range(8), rules=rules_for(CHAINED))
    claim = Claim.of(judge(CHAINED, asked))
    lines = tuple(asked.read_text().splitlines())
    bundle = Bundle.sign(owner_rng(prints), commitment=signed, openings=openings, transcript=lines, claim=claim)
    with pytest.raises(EvidenceError, match="not the one that the chain picks"):
        audit(bundle.content())
    with pytest.raises(ValueError, match="alike"):
        independent_audit(bundle.content())


def test_a_link_cannot_be_left_out_or_added(chained_bundle, tmp_path):
    opening = chained_bundle.openings[0]
    bare = [each.model_copy(update={"chain": None}) for each in chained_bundle.openings]
    swapped = (opening.model_copy(update={"chain": chained_bundle.openings[1].chain}), *chained_bundle.openings[1:])
    unchained = disclose(PRINTS, PUBLISHED, ask(PRINTS, says(), tmp_path / "t.jsonl", root=ROOT), nonce=NONCE)
    added = tuple(each.model_copy(update={"chain": each.path}) for each in unchained.openings)
    for content in (
        signed_again(chained_bundle, CHAINED, openings=tuple(bare)),
        signed_again(chained_bundle, CHAINED, openings=swapped),
        signed_again(unchained, openings=added),
    ):
        with pytest.raises(EvidenceError, match="not the one that the chain picks"):
            audit(content)
        with pytest.raises((ValueError, KeyError)):
            independent_audit(content)


def test_a_lie_that_its_owner_signed_is_rejected(tmp_path):
    bundle = disclose(PRINTS, PUBLISHED, ask(PRINTS, says(), tmp_path / "t.jsonl", root=ROOT), nonce=NONCE)
    other = drawn(secret=b"t" * 32)
    foreign = publish(other, PUBLISHED.weights)
    own_order = ask(PRINTS, says(), tmp_path / "own.jsonl", order=range(64)).read_text().splitlines()
    order = [opening.number for opening in bundle.openings]
    without = ask(PRINTS, says(), tmp_path / "without.jsonl", order=order[:2] + order[3:]).read_text().splitlines()
    twice = ask(PRINTS, says(), tmp_path / "twice.jsonl", order=order[:1] * 8).read_text().splitlines()
    missing = bundle.openings[0].model_copy(update={"salt": "00" * 32})
    lies = {
        "another outcome": {"claim": bundle.claim.model_copy(update={"outcome": "not_shown"})},
        "more hits": {"claim": bundle.claim.model_copy(update={"hits": 9})},
        "a smaller p": {"claim": bundle.claim.model_copy(update={"p_value": bundle.claim.p_value / 1.01})},
        "a nonce of the owner's": {"nonce": "another nonce, as random"},
        "a short nonce": {"nonce": "short"},
        "another set": {"commitment": foreign},
        "other fingerprints": {"openings": open_fingerprints(other, owner_rng(other), order)},
        "a key left out": {"openings": bundle.openings[1:]},
        "keys in another order": {"openings": bundle.openings[::-1]},
        "a key more": {"openings": (*bundle.openings, *open_fingerprints(PRINTS, owner_rng(PRINTS), [0]))},
        "another salt": {"openings": (missing, *bundle.openings[1:])},
        "a trial left out": {"transcript": (*bundle.transcript[:4], *bundle.transcript[5:])},
        "trials in another order": {"transcript": (bundle.transcript[0], *bundle.transcript[:0:-1])},
        "the owner's own order": {
            "transcript": tuple(own_order),
            "openings": open_fingerprints(PRINTS, owner_rng(PRINTS), range(8)),
        },
        "a miss kept back": {"transcript": tuple(without), "openings": (*bundle.openings[:2], *bundle.openings[3:])},
        "a key twice": {"transcript": tuple(twice), "openings": (bundle.openings[0],) * 8, "nonce": None},
    }
    accepted = []
    for lie, changes in lies.items():
        content = signed_again(bundle, **changes)
        for check, rejection in ((audit, EvidenceError), (independent_audit, Exception)):
            try:
                check(content)
            except rejection:
                continue
            accepted.append((lie, check))
    assert accepted == []
    assert audit(signed_again(bundle)).verdict.outcome == "owned"


def test_a_bundle_does_not_answer_for_another_commitment_or_challenge(tmp_path):
    content = disclose(PRINTS, PUBLISHED, ask(PRINTS, says(), tmp_path / "t.jsonl", root=ROOT), nonce=NONCE).content()
    foreign = publish(PRINTS, {"model.safetensors": "sha256:" + "11" * 32})
    with pytest.raises(EvidenceError, match="not the published one"):
        audit(content, published=foreign)
    with pytest.raises(EvidenceError, match="another challenge"):
        audit(content, nonce="the judge's second nonce")
    for public, nonce in ((json.dumps(foreign.plain()), None), (None, "the judge's second nonce")):
        with pytest.raises(ValueError, match=r"not the commitment|another challenge"):
            independent_audit(content, public, nonce)


def test_the_independent_script_can_be_read_in_one_sitting_and_needs_the_standard_library_alone():
    source = AUDIT_SCRIPT.read_text()
    imported = {line.split()[1].partition(".")[0] for line in source.splitlines() if line.startswith(("import", "from"))}

    assert len([line for line in source.splitlines() if line.strip()]) <= 550
    assert imported <= sys.stdlib_module_names
