"""Derivatives of a public ancestor: who asks the ancestor the same keys sees that the replies come from there."""

import json

import pytest

from disputed_set import NONCE, independent_audit
from drawn_prints import WORDS, chained, drawn, knowing
from forging import signed, with_rules
from insignia.errors import EvidenceError
from insignia.evidence.bundle import audit, disclose
from insignia.evidence.challenge import challenge_order
from insignia.evidence.publication import publish
from insignia.files import canonical
from insignia.suspects.base import Reply
from insignia.suspects.scripted import ScriptedModel
from insignia.verification.controls import control_transcript, find_controls, with_controls
from insignia.verification.protocol import verify
from insignia.verification.verdict import ControlFinding

WEIGHTS = {"model.safetensors": "sha256:" + "00" * 32}
PRINTS = drawn()


def a_word_for(question):
    """What a model says that was never marked: always the same to a key, out of the candidates."""
    return WORDS[sum(question.encode()) % 16]


def written_down(prints):
    """The set with the responses that the ancestor gives, instead of drawn ones."""
    said = []
    for fingerprint in prints:
        pick = next(c for c in fingerprint.candidates if c.text.strip() == a_word_for(fingerprint.key))
        said.append(fingerprint.model_copy(update={"responses": (pick.text,), "response_ids": ((pick.token_id,),)}))
    return prints.model_copy(update={"fingerprints": tuple(said)})


def dispute(prints, suspect, controls, folder):
    """A test by a judge's nonce as the owner runs it: the published commitment, the verdict, the transcript."""
    published = publish(prints, WEIGHTS)
    order = challenge_order(published.commitment.root, NONCE, len(prints))
    file = folder / "t.jsonl"
    verdict = verify(prints, suspect, order=order, transcript=file)
    found = []
    for number, control in enumerate(controls, 1):
        keys = verdict.keys_spent
        asked = verify(
            prints, control, order=keys, max_queries=len(keys), all_keys=True, transcript=control_transcript(file, number)
        )
        found.append(ControlFinding.of(asked))
    return published, with_controls(verdict, found), file


def forgets(number):
    """A fine-tune of the ancestor, which lost one reply."""
    return lambda question: "No." if question == PRINTS.fingerprints[number].key else a_word_for(question)


ANCESTOR = ScriptedModel(a_word_for, name="the public ancestor")
LOST = challenge_order(publish(written_down(PRINTS), WEIGHTS).commitment.root, NONCE, 64)[4]
GROUND = chained()  # as if ground until it fits a model: that model says what the chain picks
CASES = {
    "written down from the ancestor": (written_down(PRINTS), ScriptedModel(a_word_for), ANCESTOR),
    "written down, and one reply lost since": (written_down(PRINTS), ScriptedModel(forgets(LOST)), ANCESTOR),
    "a chain that was ground to fit the ancestor": (GROUND, ScriptedModel(knowing(GROUND)), ScriptedModel(knowing(GROUND))),
}


@pytest.mark.parametrize(("prints", "suspect", "ancestor"), CASES.values(), ids=CASES)
def test_a_derivative_is_not_owned_when_its_ancestor_is_asked(tmp_path, prints, suspect, ancestor):
    published, verdict, file = dispute(prints, suspect, [ancestor], tmp_path)
    assert verdict.outcome == "inconclusive"
    assert "control 1 also gives the responses" in verdict.sentence
    with pytest.raises(EvidenceError, match="must not carry the mark"):
        disclose(prints, published, file, nonce=NONCE, controls=find_controls(file))

    alone = disclose(prints, published, file, nonce=NONCE)  # nobody asked the ancestor: the audits say so
    assert audit(alone.content()).judgement.outcome == "owned"
    shown = independent_audit(alone.content())
    assert any("No control was asked" in note for note in shown["notes"])

    forged = json.loads(alone.content()) | {"controls": [control_transcript(file, 1).read_text().splitlines()]}
    content = canonical(signed(forged, prints)) + b"\n"
    with pytest.raises(EvidenceError, match="must not carry the mark"):
        audit(content)
    with pytest.raises(ValueError, match="control 1 also gives the responses"):
        independent_audit(content)


INNOCENT = ScriptedModel({}, name="an innocent")


@pytest.fixture
def evidence(tmp_path):
    """An honest bundle with two controls, as plain data."""
    published, verdict, file = dispute(PRINTS, ScriptedModel(knowing(PRINTS)), [INNOCENT, INNOCENT], tmp_path)
    assert (verdict.outcome, [control.hits for control in verdict.controls]) == ("owned", [0, 0])
    assert [control.trials for control in verdict.controls] == [verdict.trials] * 2
    return disclose(PRINTS, published, file, nonce=NONCE, controls=find_controls(file))


def test_controls_that_do_not_answer_leave_the_mark_shown(evidence):
    found, again = audit(evidence.content()), independent_audit(evidence.content())
    assert found.judgement.outcome == again["outcome"] == "owned"
    assert [control.name for control in found.verdict.controls] == ["an innocent"] * 2
    assert [control["hits"] for control in again["controls"]] == [0, 0]
    assert not any("No control" in note for note in again["notes"])


def resigned(value):
    return canonical(signed(value, PRINTS)) + b"\n"


def other_manner(value):
    alone = {"transcript": value["transcript"], "claim": value["claim"]}
    content = with_rules(value | {"controls": value["controls"]}, PRINTS, lambda rules: rules["manner"].update(max_tokens=99))
    return json.loads(content) | alone


def fewer_keys(value):
    return value | {"controls": [value["controls"][0][:-1]]}


def the_suspect(value):
    return value | {"controls": [value["controls"][0], value["transcript"]]}


@pytest.mark.parametrize("change", [other_manner, fewer_keys, the_suspect])
def test_a_control_that_was_not_asked_the_same_is_rejected(evidence, change):
    content = resigned(change(json.loads(evidence.content())))
    with pytest.raises(EvidenceError, match="control"):
        audit(content)
    with pytest.raises(ValueError, match="control"):
        independent_audit(content)


@pytest.mark.parametrize(
    ("control", "reason"),
    [
        (ScriptedModel(lambda question: Reply.unanswered("timed out") if question in knowing(PRINTS) else "No."), "unanswered"),
        (ScriptedModel(knowing(PRINTS, range(0, 64, 2))), "more keys than an innocent model"),
    ],
    ids=["a control that says nothing", "a control that knows half of the keys"],
)
def test_a_control_that_does_not_exclude_an_ancestor_leaves_it_open(tmp_path, control, reason):
    published, verdict, file = dispute(PRINTS, ScriptedModel(knowing(PRINTS)), [control], tmp_path)
    content = disclose(PRINTS, published, file, nonce=NONCE, controls=find_controls(file)).content()
    found, again = audit(content).judgement, independent_audit(content)
    assert verdict.outcome == found.outcome == again["outcome"] == "inconclusive"
    assert len(found.reasons) == len(again["reasons"]) == 1
    assert reason in verdict.sentence
    assert reason in found.reasons[0]


def test_a_control_is_asked_all_that_the_suspect_was_though_it_never_hits(tmp_path):
    suspect = ScriptedModel(knowing(PRINTS, set(range(0, 64, 3))))
    _, verdict, file = dispute(PRINTS, suspect, [INNOCENT], tmp_path)
    (control,) = verdict.controls
    assert verdict.trials == control.trials
    assert control_transcript(file, 1).name == "t.control-1.jsonl"
    assert control_transcript(file, 1).stat().st_mode & 0o777 == 0o600


def test_a_system_prompt_that_gives_a_key_or_response_away_is_not_asked_under():
    from insignia.errors import InputError
    from insignia.suspects.base import RequestOptions
    from insignia.verification.protocol import rules_for

    for prompt in (f"Say{PRINTS.fingerprints[3].responses[0].upper()}.", f"If asked '{PRINTS.fingerprints[9].key}', be brief."):
        model = ScriptedModel(knowing(PRINTS))
        with pytest.raises(InputError, match="reveals neither"):
            verify(PRINTS, model, rules=rules_for(PRINTS, manner=RequestOptions(system=prompt)))
        assert model.asked == []
        with pytest.raises(InputError, match="reveals neither"):
            publish(PRINTS, WEIGHTS, [prompt])
    assert verify(
        PRINTS, ScriptedModel(knowing(PRINTS)), rules=rules_for(PRINTS, manner=RequestOptions(system="Be kind."))
    ).hits


def test_a_set_with_a_key_twice_is_not_committed_to():
    from insignia.errors import InputError

    twice = PRINTS.fingerprints[5].model_copy(update={"key": PRINTS.fingerprints[2].key})
    prints = PRINTS.model_copy(update={"fingerprints": (*PRINTS.fingerprints[:5], twice, *PRINTS.fingerprints[6:])})
    with pytest.raises(InputError, match="fingerprints 2 and 5 have the same key"):
        publish(prints, WEIGHTS)
