import math
from itertools import combinations, product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from insignia.errors import InputError
from insignia.statistics.nulls import AnyNull, DeclaredNull, DesignNull, ReferenceNull, ReferenceTrials, parse_null
from insignia.statistics.tails import log_binomial_tail, upper_limit

DESIGN = DesignNull(candidates=16)
REFERENCE = ReferenceNull(models=(ReferenceTrials(hits=0, trials=1024), ReferenceTrials(hits=2, trials=64)))


@given(st.integers(2, 7), st.data())
def test_design_bound_is_the_share_of_draws_that_hit(candidates, data):
    accepted = data.draw(st.integers(1, candidates - 1))
    met = data.draw(st.integers(0, candidates))
    draws = [set(draw) for draw in combinations(range(candidates), accepted)]
    hits = sum(not draw.isdisjoint(range(met)) for draw in draws)

    assert DesignNull(candidates=candidates, accepted=accepted).bound_given(met) == hits / len(draws)


def test_design_bound_is_one_in_k_and_grows_with_the_looks():
    assert DESIGN.bound == 1 / 16
    assert DesignNull(candidates=16, looks=3).bound == 3 / 16
    assert DesignNull(candidates=16, looks=99).bound == 1
    assert DesignNull(candidates=16, accepted=4).bound == 1 / 4


def test_only_replies_inside_the_candidate_set_count():
    met = [1, 1, 1, 1, 0, 0, 0, 0, 0, 0]

    assert DESIGN.log_p_value(3, met) == pytest.approx(log_binomial_tail(3, 4, 1 / 16), rel=1e-13)
    assert DESIGN.log_p_value(3, met) < DESIGN.log_p_value(3, [1] * 10)


def test_no_innocent_model_is_accused_oftener_than_its_p_value_says():
    """Whatever the replies: over all draws of the secret, p <= x happens with a chance of at most x."""
    null = DesignNull(candidates=3)
    for replies in product([None, 0, 1], repeat=4):  # None: outside the candidate set; by symmetry two inside suffice
        met = [0 if reply is None else 1 for reply in replies]
        p_values = sorted(
            null.log_p_value(sum(a == b for a, b in zip(replies, secret, strict=True)), met)
            for secret in product(range(3), repeat=4)
        )
        for rank, log_p in enumerate(p_values, start=1):
            worst = rank if rank == len(p_values) or p_values[rank] > log_p else 0
            assert worst / len(p_values) <= math.exp(log_p) * (1 + 1e-12)


def test_reference_bound_is_that_of_the_worst_model():
    assert REFERENCE.bound == upper_limit(2, 64, 1e-7)
    assert ReferenceNull(models=REFERENCE.models[:1]).bound == pytest.approx(0.0156, rel=0.01)


def test_reference_p_value_never_falls_below_the_risk_of_a_wrong_bound():
    assert REFERENCE.log_p_value(64, [1] * 64) == pytest.approx(math.log(1e-7), rel=1e-6)
    assert REFERENCE.log_p_value(0, [1] * 64) == 0
    assert REFERENCE.level(1e-6) == pytest.approx(9e-7)
    with pytest.raises(InputError, match="smaller risk"):
        REFERENCE.level(1e-7)


def test_candidates_met_do_not_sharpen_a_null_that_knows_of_none():
    for null in (REFERENCE, DeclaredNull(chance=0.1)):
        assert null.bound_given(0) == null.bound


@pytest.mark.parametrize("null", [DESIGN, REFERENCE, DeclaredNull(chance=0.014)])
def test_a_null_is_its_name_and_its_numbers(null):
    assert TypeAdapter(AnyNull).validate_python(null.spec()) == null
    assert 0 < null.bound < 1


@given(st.integers(0, 12), st.integers(0, 12), st.floats(0.001, 0.999), st.floats(0.001, 0.999))
def test_p_values_fall_with_hits_and_rise_with_the_null(one, other, first, second):
    (few, many), (low, high) = sorted((one, other)), sorted((first, second))

    assert DeclaredNull(chance=low).log_p_value(many, [1] * 12) <= DeclaredNull(chance=low).log_p_value(few, [1] * 12) + 1e-12
    assert DeclaredNull(chance=low).log_p_value(many, [1] * 12) <= DeclaredNull(chance=high).log_p_value(many, [1] * 12) + 1e-12


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (DesignNull, {"candidates": 1}),
        (DesignNull, {"candidates": 4, "accepted": 4}),
        (DeclaredNull, {"chance": 0.0}),
        (DeclaredNull, {"chance": 1.0}),
        (ReferenceTrials, {"hits": 3, "trials": 2}),
        (ReferenceNull, {"models": ()}),
    ],
)
def test_a_null_that_cannot_be_is_refused(kind, fields):
    with pytest.raises(ValidationError):
        kind(**fields)


def test_a_reply_cannot_meet_more_candidates_than_there_are():
    with pytest.raises(InputError, match="0 to 16"):
        DESIGN.bound_given(17)


@pytest.mark.parametrize(
    ("name", "null"),
    [
        ("1/16", DeclaredNull(chance=1 / 16)),
        ("0.001", DeclaredNull(chance=1e-3)),
        ("1e-3", DeclaredNull(chance=1e-3)),
        ("reference:0/1024", ReferenceNull(models=(ReferenceTrials(hits=0, trials=1024),))),
        (
            "reference:0/8,2/9",
            ReferenceNull(models=(ReferenceTrials(hits=0, trials=8), ReferenceTrials(hits=2, trials=9))),
        ),
    ],
)
def test_nulls_by_name(name, null):
    assert parse_null(name) == null


@pytest.mark.parametrize(
    "name",
    [
        "",
        "0",
        "1",
        "2",
        "-1/2",
        "1/0",
        "x",
        "nan",
        "1e999",
        "reference:",
        "reference:1",
        "reference:3/2",
        "reference:0/0",
    ],
)
def test_an_unknown_null_is_refused(name):
    with pytest.raises(InputError, match="unknown null"):
        parse_null(name)
