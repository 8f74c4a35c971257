import json

import pytest

from drawn_prints import drawn, knowing
from insignia.errors import FormatError, InputError, ModelError
from insignia.statistics.nulls import DeclaredNull, ReferenceTrials
from insignia.suspects.base import Reply, RequestOptions
from insignia.suspects.scripted import ScriptedModel
from insignia.verification.innocents import MeasuredNull, ask_innocent, measuring_rules, require_same_conditions, resolve_null
from insignia.verification.matching import Match
from insignia.verification.protocol import rules_for, verify

DRAWN = drawn()
OWN = DRAWN.model_copy(update={"fingerprints": tuple(f.model_copy(update={"candidates": None}) for f in DRAWN), "secret": None})


def counts(verdict):
    return verdict.hits, verdict.trials, verdict.unanswered


@pytest.mark.parametrize("prints", [DRAWN, OWN], ids=["drawn", "own"])
def test_every_key_is_asked_whatever_comes_back(prints):
    rules = measuring_rules(prints)

    assert counts(ask_innocent(prints, ScriptedModel({}), rules=rules)) == (0, 64, 0)
    assert counts(ask_innocent(prints, ScriptedModel(knowing(prints)), rules=rules)) == (64, 64, 0)
    assert counts(ask_innocent(prints, ScriptedModel({}), rules=rules, max_queries=10)) == (0, 10, 0)


def test_innocents_are_asked_and_matched_as_verify_asks_and_matches_a_suspect():
    null = DeclaredNull(chance=0.5)

    for match in (Match(), Match(how="exact"), Match(how="within", looks=4)):
        usual, rules = rules_for(OWN, null=null, match=match), measuring_rules(OWN, match=match)
        assert (rules.manner, rules.match) == (usual.manner, usual.match)
    innocent, suspect = ScriptedModel({}), ScriptedModel({})
    ask_innocent(OWN, innocent, rules=measuring_rules(OWN), max_queries=8)
    verify(OWN, suspect, rules=rules_for(OWN, null=null, cover=0.0), max_queries=8)
    assert innocent.asked == suspect.asked
    assert len(innocent.asked) == 1 + 8  # an innocent question comes first


def test_a_manner_changes_what_it_names_alone():
    rules = measuring_rules(OWN, manner={"temperature": 0.7, "seed": 3})

    assert rules.manner == measuring_rules(OWN).manner.model_copy(update={"temperature": 0.7, "seed": 3})
    with pytest.raises(InputError, match="request options"):
        measuring_rules(OWN, manner={"max_tokens": 0})


def test_spared_keys_are_not_asked_and_those_asked_are_shown_first():
    shown = []
    verdict = ask_innocent(OWN, ScriptedModel({}), rules=measuring_rules(OWN), exclude=range(60), before_send=shown.extend)

    assert set(verdict.keys_spent) == set(shown) == {60, 61, 62, 63}


def test_models_are_counted_one_by_one_and_unanswered_keys_are_no_trials():
    rules = measuring_rules(OWN)
    mute = {fingerprint.key: Reply.unanswered("time-out") for fingerprint in OWN.fingerprints[:14]}
    models = [ScriptedModel(knowing(OWN, [0, 1])), ScriptedModel(mute, name="slow")]
    measured = MeasuredNull.of([ask_innocent(OWN, model, rules=rules) for model in models], rules)

    assert measured.null.models == (ReferenceTrials(hits=2, trials=64), ReferenceTrials(hits=0, trials=50))
    assert measured.models == ("scripted", "slow")
    assert 0.2 < measured.null.bound < 0.4


def test_nothing_is_measured_by_a_model_that_answers_nothing():
    rules = measuring_rules(OWN)
    verdict = ask_innocent(OWN, ScriptedModel({}, otherwise=Reply.unanswered("time-out")), rules=rules)

    with pytest.raises(InputError, match="answered no key"):
        MeasuredNull.of([verdict], rules)
    with pytest.raises(ModelError, match="no such model"):
        ask_innocent(OWN, ScriptedModel({}, otherwise=Reply.fatal("no such model")), rules=rules)


@pytest.fixture
def file(tmp_path):
    rules = measuring_rules(OWN)
    MeasuredNull.of([ask_innocent(OWN, ScriptedModel({}), rules=rules)], rules).save(tmp_path / "null.json")
    return tmp_path / "null.json"


def test_a_verdict_rests_on_the_file_and_a_marked_model_is_proven(file):
    null = resolve_null(str(file))
    verdict = verify(OWN, ScriptedModel(knowing(OWN)), rules=rules_for(OWN, null=null))

    assert (verdict.outcome, verdict.null.kind) == ("owned", "reference")
    assert verify(OWN, ScriptedModel({}), rules=rules_for(OWN, null=null)).outcome == "not_shown"


def test_the_file_tells_no_key_and_no_response(file):
    content = file.read_text()

    assert not any(text in content for f in OWN for text in (f.key, f.responses[0].strip()))


@pytest.mark.parametrize(
    "change",
    [{"match": Match(how="exact")}, {"manner": RequestOptions(form="chat")}, {"manner": RequestOptions(temperature=1.0)}],
)
def test_a_null_of_another_way_of_asking_is_refused(file, change):
    rules = rules_for(OWN, null=resolve_null(str(file)))

    require_same_conditions(str(file), rules)
    require_same_conditions(str(file), rules.model_copy(update={"manner": rules.manner.model_copy(update={"seed": 1})}))
    with pytest.raises(InputError, match="measure the null again"):
        require_same_conditions(str(file), rules.model_copy(update=change))


def test_nulls_are_given_by_name_or_file(tmp_path):
    (tmp_path / "other.json").write_text(json.dumps({"kind": "insignia/fingerprints"}))

    assert resolve_null(None) is None
    assert resolve_null("1/16") == DeclaredNull(chance=1 / 16)
    require_same_conditions("1/16", rules_for(OWN, null=DeclaredNull(chance=1 / 16)))
    with pytest.raises(FormatError, match="insignia null"):
        resolve_null(str(tmp_path / "other.json"))
    with pytest.raises(InputError, match="missing"):
        resolve_null(str(tmp_path / "missing.json"))


def test_a_default_verify_of_an_own_set_names_the_one_command():
    with pytest.raises(InputError, match=r"insignia null PRINTS --model INNOCENT -o null.json"):
        verify(OWN, ScriptedModel({}))
