import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from insignia.errors import InputError
from insignia.records import Fingerprint, checked_share, prompt_form


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


def test_what_is_no_share_is_refused_with_the_share_that_it_may_be_meant_for():
    assert [checked_share(value, "x") for value in (0, 0.5, 1)] == [0, 0.5, 1]
    with pytest.raises(InputError, match=r"min_fsr is 95; .* 95 % is 0\.95"):
        checked_share(95, "min_fsr")
    for value in (-0.1, 1.01, 101, math.nan, math.inf):
        with pytest.raises(InputError, match="from 0 to 1"):
            checked_share(value, "x")
