"""Accusations: what a judge can check of a trace, and frame-ups that an owner could try."""

import json

import pytest

from accused_licensee import BLOCKS, NAMES, WEIGHTS, Case
from drawn_prints import drawn
from insignia.errors import EvidenceError, InputError
from insignia.evidence.publication import publish
from insignia.files import canonical
from insignia.licensing.accusation import Accusation, audit_accusation
from insignia.licensing.book import open_book
from insignia.licensing.codes import Code
from insignia.licensing.commitments import commit_codes, spelled


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    return Case(tmp_path_factory.mktemp("accusation"))


def test_a_judge_computes_the_evidence_again_from_what_was_opened(case):
    made = case.accuse(controls=[case.control])
    found = audit_accusation(made.content(), published=case.published, codes=case.codes)

    assert found.outcome == "owned"
    assert (found.proof.left_out, found.proof.p_value < 1e-6) == (0, True)
    assert found.controls[0].p_value == 1
    assert [opening.number for opening in made.openings] == list(range(BLOCKS))  # one round was enough
    text = made.content().decode()
    assert not any(name in text for name in NAMES[1:])
    assert case.kept.prints.secret not in text
    assert case.kept.prints.fingerprints[BLOCKS].key not in text


def test_somebody_else_is_not_shown_to_have_leaked(case):
    assert audit_accusation(case.accuse("Bolt").content()).outcome == "not_shown"
    assert audit_accusation(case.accuse().content(), alpha=1e-30).outcome == "not_shown"


def test_licensees_of_later_days_do_not_spoil_an_earlier_commitment(case):
    with open_book(case.kept) as book:
        book.begin("Elm", again=False)
        book.finish("Elm", {})
    assert audit_accusation(case.accuse().content(), codes=case.codes).outcome == "owned"
    with pytest.raises(InputError, match="Elm was given a copy after"):
        case.accuse("Elm")


def test_a_code_word_that_was_chosen_is_refused(case):
    """Bolt with Acme's code word, committed to in time and signed: only the seed shows that nobody drew it."""
    made = case.accuse("Bolt")
    from insignia.licensing import commitments

    for seed in (made.accused.seed, None):
        chosen = made.accused.model_copy(update={"word": spelled(case.word), "seed": seed})
        leaf = commitments._leaf("Bolt", 0, chosen.word, chosen.copies, bytes.fromhex(chosen.salt))
        alone = type(case.codes).sign(
            case.rng, code=case.codes.code, size=1, biases=case.codes.biases, root=leaf.hex(), created=case.codes.created
        )
        chosen = chosen.model_copy(update={"number": 0, "path": ()})
        assert alone.holds(chosen)
        with pytest.raises(EvidenceError, match="was not drawn by the law"):
            audit_accusation(case.signed(made, codes=alone, accused=chosen))


def test_keys_that_the_owner_left_out_count_as_chosen(case):
    """Without the keys that speak for Bolt, the rest speaks against him; a judge allows for the choice."""
    word = Code(blocks=BLOCKS).words(case.rng, ["Bolt"])[0]
    against = [n for n in range(BLOCKS) if word[n] != case.word[n]]
    whole = audit_accusation(case.accuse("Bolt").content()).proof
    made = case.accuse("Bolt")
    from insignia.verification.transcript import read_lines

    lines, kept = [made.transcript[0]], []
    previous = read_lines(made.transcript[:1]).digest.removeprefix("sha256:")
    for line in made.transcript[1:]:
        entry = json.loads(line)
        if entry["number"] in against:
            continue
        lines.append(canonical(entry | {"previous": previous}).decode())
        previous = read_lines(lines).digest.removeprefix("sha256:")
        kept.append(entry["number"])
    openings = tuple(each for each in made.openings if each.number in kept)
    with pytest.raises(EvidenceError, match="not what the accusation claims"):
        audit_accusation(case.signed(made, transcript=tuple(lines), openings=openings))
    log_e = whole.log_e
    from insignia.licensing import accusation

    blank = Accusation.model_validate_json(case.signed(made, transcript=tuple(lines), openings=openings))
    proof = accusation._proof(blank, read_lines(lines))
    assert proof.log_e > log_e + 10
    assert proof.left_out == len(against)
    assert proof.p_value > 1e-3
    found = audit_accusation(case.signed(made, transcript=tuple(lines), openings=openings, log_e=proof.log_e))
    assert found.outcome == "not_shown"


def test_responses_that_the_model_without_blocks_gives_anyway_are_found_out_by_a_control(case):
    with pytest.raises(EvidenceError, match="a control is traced to the accused, too"):
        case.accuse(controls=[case.suspect])
    with pytest.raises(EvidenceError, match="not asked the same keys as the suspect, which was asked 48"):
        case.accuse(controls=[case.traced("longer.jsonl", [])])


def test_replies_that_were_sampled_decide_nothing(case):
    numbers = [n for n in range(2 * BLOCKS) if case.word[n % BLOCKS]]
    sampled = case.traced("sampled.jsonl", numbers, temperature=0.5)
    content = case.accuse(transcript=sampled).content()
    assert audit_accusation(content).outcome == "inconclusive"
    assert audit_accusation(content, any_manner=True).outcome == "owned"


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda made: {"log_e": made.log_e + 1}, "not what the accusation claims"),
        (lambda made: {"accused": made.accused.model_copy(update={"licensee": "Bolt"})}, "not those that were committed to"),
        (lambda made: {"biases": made.biases.model_copy(update={"biases": (0.4,) * BLOCKS})}, "not those that were committed"),
        (lambda made: {"openings": made.openings[1:]}, "not those that were asked"),
        (lambda made: {"transcript": made.transcript[:-1]}, "not those that were asked"),
    ],
)
def test_what_does_not_hold_is_refused_though_the_owner_signed_it(case, change, complaint):
    made = case.accuse()
    with pytest.raises(EvidenceError, match=complaint):
        audit_accusation(case.signed(made, **change(made)))


def test_other_commitments_than_the_published_ones_and_other_signatures_are_refused(case, tmp_path):
    made, other = case.accuse(), Case(tmp_path)
    with open_book(other.kept) as book:
        book.begin("Fir", again=False)
        later = commit_codes(other.kept, book)
    for known in ({"codes": later}, {"published": publish(drawn(4), WEIGHTS)}):
        with pytest.raises(EvidenceError, match="not the published one"):
            audit_accusation(made.content(), **known)
    with pytest.raises(EvidenceError, match="a signature is invalid"):
        audit_accusation(canonical(made.plain() | {"log_e": 99.0}) + b"\n")
