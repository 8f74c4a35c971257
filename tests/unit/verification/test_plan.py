import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insignia.errors import InputError
from insignia.verification.null import DeclaredNull, DesignNull, ReferenceNull, ReferenceTrials
from insignia.verification.plan import plan
from insignia.verification.pvalues import log_binomial_tail
from insignia.verification.sequential import forecast

DESIGN = DesignNull(candidates=16)


def test_a_healthy_mark_takes_six_keys_and_few_more_for_certainty():
    made = plan(DESIGN, survival=0.98)

    assert (made.median, made.test.max_queries, made.embed) == (6, 9, 9)
    assert made.power >= 0.95


def test_the_planned_test_has_the_promised_power_and_not_with_a_key_less():
    made = plan(DESIGN, survival=0.3, power=0.9)
    *_, before, last = forecast(made.test, 0.3, 1 / 16)

    assert last.asked == made.test.max_queries
    assert last.owned == made.power >= 0.9 > before.owned


@pytest.mark.parametrize("survival", [0.3, 0.6, 0.9])
def test_no_plan_is_cheaper_than_the_most_powerful_test_of_fixed_size(survival):
    asked = plan(DESIGN, survival=survival, futility=1e-9).test.max_queries

    def power(trials):
        needed = next(hits for hits in range(trials + 2) if log_binomial_tail(hits, trials, 1 / 16) <= math.log(1e-6))
        return math.exp(log_binomial_tail(needed, trials, survival))

    fixed = next(trials for trials in range(1, 1000) if power(trials) >= 0.95)
    assert fixed <= asked <= 1.5 * fixed


@given(st.floats(0.4, 0.99), st.floats(0.4, 0.99), st.floats(1e-9, 0.05), st.floats(1e-9, 0.05))
def test_more_survivors_and_a_larger_alpha_never_cost_more_keys(one, other, first, second):
    (few, many), (strict, lax) = sorted((one, other)), sorted((first, second))
    base = plan(DESIGN, survival=few, alpha=strict, futility=1e-9)

    assert plan(DESIGN, survival=many, alpha=strict, futility=1e-9).median <= base.median
    assert plan(DESIGN, survival=few, alpha=lax, futility=1e-9).median <= base.median


def test_suspects_share_alpha_and_get_fresh_keys():
    one, four = plan(DESIGN), plan(DESIGN, suspects=4)

    assert four.test.alpha == one.test.alpha / 4
    assert four.embed == 4 * four.test.max_queries > 4 * one.test.max_queries


def test_the_error_of_a_measured_null_is_taken_from_alpha():
    null = ReferenceNull(models=(ReferenceTrials(hits=0, trials=1024),))

    assert plan(null).test.alpha == pytest.approx(9e-7)
    with pytest.raises(InputError, match="smaller error"):
        plan(null, suspects=10)


def test_survivors_that_look_innocent_cannot_be_planned_for():
    with pytest.raises(InputError, match="too near to an innocent model"):
        plan(DeclaredNull(chance=0.3), survival=0.3)


@pytest.mark.parametrize(
    "options", [{"alpha": 0}, {"survival": 1}, {"suspects": 0}, {"futility": 0}, {"power": 0.995}, {"power": 0}]
)
def test_numbers_out_of_range_are_refused(options):
    with pytest.raises(InputError, match="expected"):
        plan(DESIGN, **options)
