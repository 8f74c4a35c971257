import json

import pytest

from drawn_prints import drawn, knowing
from insignia.errors import InputError
from insignia.keyring.keyring import Keyring
from insignia.keyring.ledger import ledger_path
from insignia.suspects.scripted import ScriptedModel
from insignia.verification import rules_for, verify

ONE, OTHER = drawn(secret=b"1" * 32), drawn(secret=b"2" * 32)


@pytest.fixture
def ring(tmp_path):
    """A keyring of two sets of 64, one file each."""
    ONE.save(tmp_path / "eu.json")
    OTHER.save(tmp_path / "us.json")
    return Keyring.open(tmp_path / "eu.json", tmp_path / "us.json")


@pytest.fixture
def single(tmp_path):
    ONE.save(tmp_path / "prints.json")
    return Keyring.open(tmp_path / "prints.json")


def marked(prints=ONE, *, remote=True, name="marked"):
    model = ScriptedModel(knowing(prints), name=name)
    model.may_refuse = remote
    return model


def lines(kept):
    path = ledger_path(kept.path)
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_keys_are_on_record_before_they_leave(single):
    kept = single.only()

    def looking(question):
        asked = {kept.prints.fingerprints[number].key for line in lines(kept) for number in line["numbers"]}
        seen.append(question in asked or question not in knowing(ONE))
        return knowing(ONE).get(question, "no")

    seen = []
    verdict = single.verify(ScriptedModel(looking, name="host"))

    assert verdict.outcome == "owned"
    assert seen == [True] * len(seen) != []
    assert {number for line in lines(kept) for number in line["numbers"]} == set(verdict.keys_spent)
    assert {line["to"] for line in lines(kept)} == {"host"}


def test_a_key_that_somebody_has_seen_is_asked_of_nobody_else_unless_told(single):
    first = single.verify(marked())
    second = single.verify(marked(name="another host"))
    again = single.verify(marked(), reuse_keys=True)

    assert not set(first.keys_spent) & set(second.keys_spent)
    assert set(again.keys_spent) == set(first.keys_spent)


def test_a_model_on_this_machine_spends_no_key(single):
    assert single.verify(marked(remote=False)).outcome == "owned"
    assert lines(single.only()) == []


def test_a_set_in_memory_asks_no_endpoint_since_nothing_could_be_recorded():
    ring = Keyring.of(ONE)

    assert ring.verify(marked(remote=False)).outcome == "owned"
    with pytest.raises(InputError, match="save it"):
        ring.verify(marked())


def test_every_set_is_asked_and_the_verdicts_share_alpha(ring):
    eu, us = ring.verify_all([marked(OTHER, remote=False)])

    assert (eu.label, us.label) == ("eu", "us")
    assert (eu.outcome == "owned", us.outcome == "owned") == (False, True)
    assert eu.suspects == us.suspects == 2
    alone = verify(OTHER, marked(OTHER, remote=False), rules=rules_for(OTHER, suspects=2, cover=0.0))
    assert us.p_value == pytest.approx(2 * alone.p_value)  # Holm: the smaller of two


def test_one_set_of_several_is_asked_by_its_label(ring):
    assert ring.verify(marked(OTHER, remote=False), label="us").label is None
    with pytest.raises(InputError, match="eu, us"):
        ring.verify(marked(remote=False))
    with pytest.raises(InputError, match="eu, us"):
        ring.share(3, to="bob", label="asia")


def test_each_set_keeps_a_transcript_of_its_own_and_is_judged_from_it(ring, tmp_path):
    asked = ring.verify_all([marked(OTHER)], transcripts=[tmp_path / "t.jsonl"])

    assert sorted(path.name for path in tmp_path.glob("t.*")) == ["t.eu.jsonl", "t.us.jsonl"]
    assert ring.judge([tmp_path / "t.jsonl"]) == asked


def test_later_suspects_are_asked_keys_that_no_earlier_one_has_seen(single):
    first, second = single.verify_all([marked(name="a"), marked(name="b")])

    assert not set(first.keys_spent) & set(second.keys_spent)
    assert {line["to"] for line in lines(single.only())} == {"a", "b"}


def test_a_control_that_gives_the_responses_too_leaves_the_verdict_open(single, tmp_path):
    (verdict,) = single.verify_all([marked()], controls=[marked(name="ancestor")], transcripts=[tmp_path / "t.jsonl"])

    assert verdict.outcome == "inconclusive"
    assert verdict.controls[0].name == "ancestor"
    assert single.judge([tmp_path / "t.jsonl"]) == [verdict]
    assert "ancestor" in {line["to"] for line in lines(single.only())}


def test_a_suspect_is_opened_when_its_turn_comes(single):
    opened = []

    def opener(name):
        def open_it():
            opened.append(name)
            return marked(name=name, remote=False)

        return open_it

    def first():
        assert opened == []
        return opener("a")()

    verdicts = single.verify_all([first, opener("b")])

    assert opened == ["a", "b"]
    assert [verdict.suspect for verdict in verdicts] == ["a", "b"]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"alpha": 2}, "alpha"),
        ({"alhpa": 1e-3}, "Did you mean 'alpha'"),
        ({"match": "somewhere"}, "exact, prefix"),
        ({"survival": 30}, "survival"),
        ({"null": "often"}, "unknown null"),
    ],
)
def test_options_that_cannot_be_are_named(single, options, reason):
    with pytest.raises(InputError, match=reason):
        single.verify(marked(), **options)


def test_a_keyring_names_its_sets_and_shows_no_key(ring):
    assert repr(ring) == "Keyring(eu: 64 fingerprints, us: 64 fingerprints)"


def test_two_sets_of_one_label_are_refused(tmp_path):
    ONE.save(tmp_path / "a.json")
    with pytest.raises(InputError, match="each given once"):
        Keyring.open(tmp_path / "a.json", tmp_path / "a.json")
    with pytest.raises(InputError, match="one for each"):
        Keyring.open(tmp_path / "a.json", labels=["x", "y"])


def test_a_null_is_measured_of_unspent_keys_and_a_host_is_asked_only_as_many_as_allowed(single):
    measured, (verdict,) = single.measure_null([ScriptedModel({}, name="innocent")], max_queries=20)

    assert (measured.null.models[0].hits, measured.null.models[0].trials) == (0, 20)
    assert set(verdict.keys_spent) == single.only().spent()
    with pytest.raises(InputError, match="44 are unspent"):
        single.measure_null([ScriptedModel({}, name="innocent")])
