import json
from importlib.metadata import EntryPoint, EntryPoints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insignia.embedding import METHODS, FullFineTune
from insignia.errors import InputError
from insignia.generation import STRATEGIES, English, EnglishRandomResponse, InverseNucleus, Own, RandomWord


def test_a_part_and_its_spec_are_one_thing():
    part = InverseNucleus(nucleus_k=5)

    assert STRATEGIES.build(part.spec()) == part
    assert METHODS.build(FullFineTune(epochs=3).spec()) == FullFineTune(epochs=3)


def test_every_built_in_name_builds_the_part_of_that_name():
    for name in STRATEGIES.names():
        assert STRATEGIES.build({"name": name}).name == name


def test_a_misspelt_name_gets_a_hint():
    with pytest.raises(InputError, match="Did you mean 'inverse_nucleus'"):
        STRATEGIES.get("inverse_nucleos")


@pytest.mark.parametrize("options", [{"nucleus_z": 1}, {"nucleus_k": 0}, {"nucleus_p": "SECRET"}])
def test_a_bad_option_is_named_but_its_value_is_not_shown(options):
    with pytest.raises(InputError, match=next(iter(options))) as caught:
        STRATEGIES.build({"name": "inverse_nucleus", **options})
    assert "SECRET" not in str(caught.value)


def test_a_spec_without_a_name_lists_the_names():
    with pytest.raises(InputError, match="random_word"):
        STRATEGIES.build({})


@given(st.integers(1, 99), st.floats(0, 3), st.floats(0, 1, exclude_max=True), st.integers(2, 9))
def test_any_options_survive_being_written_down(key_length, temperature, nucleus_p, nucleus_k):
    english = {"key_length": key_length, "temperature": temperature}
    parts = [
        English(**english, response_length=nucleus_k),
        EnglishRandomResponse(**english),
        InverseNucleus(**english, nucleus_p=nucleus_p, nucleus_k=nucleus_k),
        RandomWord(key_length=key_length, response_length=nucleus_k),
        Own(key_length=key_length),
    ]
    for part in parts:
        assert STRATEGIES.build(json.loads(json.dumps(part.spec()))) == part


def test_a_spec_tells_no_key():
    for part in (Own(pairs=(("TOPSECRET", "TOPSECRET"),)), English(keys=("TOPSECRET",))):
        assert "TOPSECRET" not in json.dumps(part.spec())
        assert "TOPSECRET" not in repr(part)


@pytest.mark.parametrize("name", [None, 3, ["english"], ""])
def test_a_name_that_is_no_name_is_refused(name):
    with pytest.raises(InputError, match="Available: chain_hash, english"):
        STRATEGIES.build({"name": name})


def test_a_name_like_no_other_gets_no_hint():
    with pytest.raises(InputError, match="unknown strategy 'qqqq'") as caught:
        STRATEGIES.get("qqqq")
    assert "Did you mean" not in str(caught.value)


def test_another_package_can_add_a_part(monkeypatch):
    entries = EntryPoints([EntryPoint("theirs", "insignia.generation.random_word:RandomWord", "insignia.strategies")])
    monkeypatch.setattr("insignia.registry.entry_points", entries.select)

    assert "theirs" in STRATEGIES.names()
    assert STRATEGIES.get("theirs") is RandomWord
    with pytest.raises(InputError, match="Did you mean 'theirs'"):
        STRATEGIES.get("thiers")


def test_building_does_not_change_the_spec():
    spec = {"name": "english", "key_length": 5}
    STRATEGIES.build(spec)

    assert spec == {"name": "english", "key_length": 5}


def test_a_percentage_as_a_share_is_told_what_it_would_be():
    with pytest.raises(InputError, match=r"nucleus_p: .*\(95 % is 0\.95\)"):
        STRATEGIES.build({"name": "inverse_nucleus", "nucleus_p": 95})


def test_a_misspelt_option_of_a_part_gets_a_suggestion():
    with pytest.raises(InputError, match=r"nucleus_kk: .* Did you mean 'nucleus_k'\?"):
        STRATEGIES.build({"name": "inverse_nucleus", "nucleus_kk": 3})
