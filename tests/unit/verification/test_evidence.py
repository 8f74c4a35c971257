import json
import math

import pytest

from disputed_set import AUDIT_SCRIPT, NONCE, ask, independent_audit
from drawn_prints import drawn
from insignia.errors import EvidenceError, InputError
from insignia.models.base import Reply
from insignia.verification.commitment import open_fingerprints
from insignia.verification.evidence import Bundle, audit, disclose
from insignia.verification.matching import Match
from insignia.verification.null import DeclaredNull, ReferenceNull, ReferenceTrials
from insignia.verification.publication import owner_chance, publish
from insignia.verification.verify import judge, rules_for

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

    assert math.isclose(shown["p_value"], bundle.claim.p_value, rel_tol=1e-9)
    assert shown.items() >= bundle.claim.model_dump(exclude={"p_value"}).items()


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


def signed_again(bundle, **changes):
    """What an owner can make who does not mind signing a lie."""
    fields = {name: getattr(bundle, name) for name in ("commitment", "nonce", "openings", "transcript", "claim")}
    return Bundle.sign(owner_chance(PRINTS), **(fields | changes)).content()


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
        "other fingerprints": {"openings": open_fingerprints(other, owner_chance(other), order)},
        "a key left out": {"openings": bundle.openings[1:]},
        "keys in another order": {"openings": bundle.openings[::-1]},
        "a key more": {"openings": (*bundle.openings, *open_fingerprints(PRINTS, owner_chance(PRINTS), [0]))},
        "another salt": {"openings": (missing, *bundle.openings[1:])},
        "a trial left out": {"transcript": (*bundle.transcript[:4], *bundle.transcript[5:])},
        "trials in another order": {"transcript": (bundle.transcript[0], *bundle.transcript[:0:-1])},
        "the owner's own order": {
            "transcript": tuple(own_order),
            "openings": open_fingerprints(PRINTS, owner_chance(PRINTS), range(8)),
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
    with pytest.raises(EvidenceError, match="another commitment"):
        audit(content, published=foreign)
    with pytest.raises(EvidenceError, match="another challenge"):
        audit(content, nonce="the judge's second nonce")
    for public, nonce in ((json.dumps(foreign.plain()), None), (None, "the judge's second nonce")):
        with pytest.raises(ValueError, match=r"not the commitment|another challenge"):
            independent_audit(content, public, nonce)


def test_the_independent_script_is_short_and_needs_the_standard_library_alone():
    source = AUDIT_SCRIPT.read_text()
    imported = {line.split()[1].partition(".")[0] for line in source.splitlines() if line.startswith(("import", "from"))}

    assert len(source.splitlines()) <= 150
    assert imported == {"hashlib", "json", "math", "pathlib", "re", "sys"}
