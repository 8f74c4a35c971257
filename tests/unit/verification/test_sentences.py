"""What is printed beside evidence is true under the conditions that it names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insignia.terminal import once_in
from insignia.verification.verdict import NullClaim
from insignia.verification.wording import explain_p_value

UNITS = {"million": 1e6, "billion": 1e9, "trillion": 1e12}


@pytest.mark.parametrize(
    ("p_value", "words"),
    [(1.0, "1"), (0.3, "3"), (8.1e-6, "120,000"), (5.2e-7, "1.9 million"), (4e-9, "250 million"), (5e-70, "10^69")],
)
def test_a_p_value_is_said_in_tests(p_value, words):
    assert once_in(p_value) == words


@given(st.floats(1e-300, 1.0))
def test_no_more_tests_are_said_than_the_p_value_allows(p_value):
    words = once_in(p_value)
    number, _, unit = words.replace(",", "").partition(" ")
    tests = 10.0 ** int(number[3:]) if number.startswith("10^") else float(number) * UNITS.get(unit, 1)
    assert 0.1 / p_value <= tests * (1 + 1e-9)
    assert tests <= (1 + 1e-9) / p_value


@pytest.mark.parametrize("kind", ["declared", "reference"])
def test_a_null_that_was_not_designed_names_what_it_assumes(kind):
    sentence = explain_p_value(NullClaim(kind=kind, bound=0.01), 1e-7)
    assert sentence.startswith("If an unrelated model hits each key with probability at most 0.01")
    assert "whatever it hit before" in sentence
    assert "come in runs" in sentence
    assert explain_p_value(NullClaim(kind="design", bound=0.01), 1e-7) == (
        "An unrelated model would score this well at most once in 10 million tests (p 1e-07)."
    )
