import pytest
from hypothesis import given
from hypothesis import strategies as st

from insignia.evidence.signing import Signed
from insignia.files import canonical
from insignia.randomness import KeyedRandom

CHANCE = KeyedRandom(bytes(range(32)))


class Note(Signed):
    text: str
    number: int | None = None


def test_a_signature_is_the_same_for_ever():
    note = Note.sign(CHANCE, text="é", number=1)

    assert note == Note.sign(CHANCE, text="é", number=1)
    assert note.public_key == "709d8be7e2e449a17597f7990ef40b117669539e7354e24b5b20506459d1152a"
    assert note.signature[:32] == "595506792c41ab17ea1c7cb986ef87a4"


@given(st.text(), st.none() | st.integers(0, 9))
def test_what_was_signed_is_genuine_after_a_journey_through_json(text, number):
    note = Note.sign(CHANCE, text=text.encode("utf-8", "ignore").decode(), number=number)

    assert note.is_genuine()
    assert Note.model_validate_json(canonical(note.plain())).is_genuine()


@pytest.mark.parametrize(
    "change",
    [
        {"text": "b"},
        {"number": 0},
        {"number": None},
        {"public_key": "ff" * 32},
        {"public_key": Note.sign(KeyedRandom(bytes(32)), text="a", number=1).public_key},
        {"signature": "00" * 64},
        {"signature": Note.sign(CHANCE, text="b", number=1).signature},
    ],
)
def test_what_was_changed_is_not_genuine(change):
    note = Note.sign(CHANCE, text="a", number=1)

    assert note.is_genuine()
    assert not note.model_copy(update=change).is_genuine()
