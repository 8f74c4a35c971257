import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from insignia.errors import InputError
from insignia.types import Fingerprint, prompt_form


@pytest.mark.parametrize(
    "fields",
    [
        {"key": "", "responses": ("x",)},
        {"key": "k", "responses": ()},
        {"key": "k", "responses": ("x", "")},
        {"key": "k", "responses": ("x",), "response_ids": ((1,), (2,))},
        {"key": "k", "responses": ("x", "y"), "response_ids": ((1,),)},
        {"key": "k", "responses": ("x",), "key_ids": ()},
        {"key": "k", "responses": ("x",), "response_ids": ((),)},
        {"key": "k", "responses": ("x",), "unknown": 1},
    ],
)
def test_a_fingerprint_that_contradicts_itself_cannot_be_made(fields):
    with pytest.raises(ValidationError):
        Fingerprint(**fields)


def test_a_record_does_not_change():
    fingerprint = Fingerprint(key="k", responses=("x",))

    with pytest.raises(ValidationError, match="frozen"):
        fingerprint.key = "other"
    assert fingerprint.key == "k"


@given(st.text())
def test_a_prompt_form_is_raw_or_chat(value):
    if value in ("raw", "chat"):
        assert prompt_form(value) == value
    else:
        with pytest.raises(InputError, match="raw or chat"):
            prompt_form(value)
