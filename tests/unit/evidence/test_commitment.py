import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from insignia.errors import InputError
from insignia.evidence.commitment import Commitment, Opening, commit, open_fingerprints
from insignia.fingerprints.sets import FingerprintSet
from insignia.randomness import KeyedRandom
from insignia.records import Candidate, Fingerprint

CHANCE = KeyedRandom(bytes(range(32)))
CANDIDATES = tuple(Candidate(text=text, token_id=i, rank=i, probability=0.1 / (i + 1)) for i, text in enumerate(" a b".split()))
PRINTS = FingerprintSet(
    tokenizer="0123",
    fingerprints=tuple(
        Fingerprint(key=f"Ключ {i}", responses=(" a",), key_ids=(5, i), response_ids=((0,),), candidates=CANDIDATES)
        for i in range(11)
    ),
)
COMMITMENT = commit(PRINTS, CHANCE)
OPENINGS = open_fingerprints(PRINTS, CHANCE, range(11))


def places(value, where=()):
    """The way to every number and text in plain data."""
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return [place for name, inner in items for place in places(inner, (*where, name))]
    return [where] if value is not None else []


def changed(value, where, how):
    """A copy of plain data, changed in one place."""
    copy = json.loads(json.dumps(value))
    inner = copy
    for name in where[:-1]:
        inner = inner[name]
    inner[where[-1]] = how(inner[where[-1]])
    return copy


def is_accepted(commitment, opening):
    try:
        return Commitment.model_validate(commitment).holds(Opening.model_validate(opening))
    except ValidationError:
        return False


def test_every_fingerprint_can_be_opened_after_a_journey_through_json():
    for number, opening in enumerate(OPENINGS):
        again = Opening.model_validate_json(opening.model_dump_json())
        assert again.fingerprint == PRINTS.fingerprints[number]
        assert Commitment.model_validate_json(COMMITMENT.model_dump_json()).holds(again)


def test_a_commitment_is_the_same_for_ever():
    assert COMMITMENT.root == GOLDEN


GOLDEN = "10f46fd99e732ac4f7dcd251e7b13395d12aa2b7dc392afa7f615de5fa32ce0a"


@given(st.integers(0, 10), st.data())
def test_every_change_of_an_opening_or_commitment_is_rejected(number, data):
    bundle = {"commitment": COMMITMENT.model_dump(mode="json"), "opening": OPENINGS[number].model_dump(mode="json")}
    where = data.draw(st.sampled_from(places(bundle)))

    def change(old):
        if isinstance(old, str):
            place = data.draw(st.integers(0, len(old)))
            return data.draw(
                st.sampled_from([old[:place] + letter + old[place:] for letter in "0aX "])
                | st.sampled_from([old[:place] + letter + old[place + 1 :] for letter in "0aX "])
                | st.just(old[::-1])
                | st.just(old.upper())
            )
        return data.draw(st.integers(-1, 20)) if isinstance(old, int) else old * 1.5

    mutated = changed(bundle, where, change)

    assert is_accepted(**bundle)
    assert mutated == bundle or not is_accepted(**mutated)


@given(st.integers(0, 10), st.integers(0, 10), st.sampled_from(["number", "fingerprint", "salt", "path"]))
def test_no_part_of_an_opening_fits_another(one, other, field):
    mixed = OPENINGS[one].model_copy(update={field: getattr(OPENINGS[other], field)})

    assert COMMITMENT.holds(mixed) == (mixed == OPENINGS[one])


def test_a_path_with_more_or_fewer_digests_is_rejected():
    opening = OPENINGS[3]

    for path in (opening.path[:-1], opening.path[1:], (*opening.path, COMMITMENT.root), opening.path[::-1], ()):
        assert not COMMITMENT.holds(opening.model_copy(update={"path": path}))


def test_another_set_or_other_salts_make_another_commitment():
    assert commit(PRINTS, KeyedRandom(bytes(32))).root != COMMITMENT.root
    assert commit(PRINTS.first(10), CHANCE).root != COMMITMENT.root
    assert not commit(PRINTS.first(10), CHANCE).holds(OPENINGS[0])
    assert not commit(PRINTS.model_copy(update={"prompt_form": "chat"}), CHANCE).holds(OPENINGS[0])


def test_equal_fingerprints_have_different_leaves():
    twins = FingerprintSet(fingerprints=(PRINTS.fingerprints[0],) * 2)
    first, second = open_fingerprints(twins, CHANCE, [0, 1])

    assert first.salt != second.salt
    assert first.path != second.path


def test_a_commitment_tells_no_secret_and_an_opening_prints_none():
    assert "Ключ" not in COMMITMENT.model_dump_json()
    assert "Ключ" not in repr(OPENINGS[0])
    assert OPENINGS[0].salt not in repr(OPENINGS[0])


def test_a_fingerprint_that_is_not_there_cannot_be_opened():
    with pytest.raises(InputError, match="leaf 11"):
        open_fingerprints(PRINTS, CHANCE, [11])
