"""Paired changes: tests and intervals against published formulas and scipy, and how often they err."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from insignia.errors import InputError
from insignia.statistics.paired import Change, bootstrap, mcnemar


@pytest.mark.parametrize(("lost", "gained"), [(0, 0), (3, 3), (1, 9), (9, 1), (121, 59), (0, 20), (700, 650)])
def test_mcnemar_is_the_exact_binomial_test(lost, gained):
    expected = stats.binomtest(lost, lost + gained, 0.5).pvalue if lost + gained else 1.0
    assert mcnemar(lost, gained) == pytest.approx(expected, rel=1e-10)


def test_mcnemar_of_the_example_of_agresti():
    # Categorical Data Analysis (2002), approval of the prime minister: 150 and 86 changed their mind.
    assert mcnemar(150, 86) == pytest.approx(3.716e-05, rel=1e-3)  # as R's exact2x2 and statsmodels


@given(st.integers(0, 300), st.integers(0, 300))
def test_the_order_of_the_models_does_not_matter_to_mcnemar(lost, gained):
    assert mcnemar(lost, gained) == mcnemar(gained, lost) <= 1


@pytest.mark.parametrize(("lost", "gained", "same"), [(2, 10, 38), (0, 0, 700), (121, 59, 1000), (5, 0, 1)])
def test_the_interval_is_that_of_bonett_and_price(lost, gained, same):
    n = lost + gained + same
    p12, p21 = (gained + 1) / (n + 2), (lost + 1) / (n + 2)  # their formula for paired proportions
    half = stats.norm.ppf(0.975) * math.sqrt((p12 + p21 - (p12 - p21) ** 2) / (n + 2))
    change = Change.of([-1] * lost + [1] * gained + [0] * same)
    assert change.mean == pytest.approx((gained - lost) / n)
    assert change.interval(0.95) == pytest.approx((p12 - p21 - half, p12 - p21 + half))


def test_identical_models_are_harmless_once_there_are_enough_questions():
    few, many = Change.of([0] * 100), Change.of([0] * 1000)
    assert few.finding(0.01, 0.95) == "undecided"
    assert many.finding(0.01, 0.95) == "harmless"
    assert many.power(0.01, 0.95) > 0.9
    error = math.sqrt(2) / 102  # a pair that gained and one that lost, among 102
    assert few.power(0.01, 0.95) == pytest.approx(stats.norm.cdf(0.01 / error - stats.norm.ppf(0.975)))


def test_known_harm_is_found_and_a_gain_is_harmless():
    assert Change.of([-1] * 60 + [0] * 940).finding(0.01, 0.95) == "harmful"
    assert Change.of([1] * 60 + [0] * 940).finding(0.01, 0.95) == "harmless"
    assert Change.of([-1] * 15 + [0] * 985).finding(0.01, 0.95) == "undecided"


def test_a_mean_over_tasks_weighs_them_equally():
    tasks = [Change.of([-1] * 10 + [0] * 90), Change.of([0] * 1000)]
    mean = Change.average(tasks)
    assert mean.mean == pytest.approx(-0.05)
    assert mean.error == pytest.approx(math.hypot(tasks[0].error, tasks[1].error) / 2)
    assert Change.average(tasks[:1]) == pytest.approx(tasks[0])


def test_more_questions_give_the_power_that_was_asked_for():
    change = Change.of([-1] * 20 + [1] * 20 + [0] * 460)
    times = change.more_questions(0.01, 0.95)
    assert change._replace(error=change.error / math.sqrt(times)).power(0.01, 0.95) == pytest.approx(0.8)


def test_the_p_value_and_the_interval_agree():
    change = Change.of([-1] * 6 + [1] * 3 + [0] * 2000)
    edge = -change.interval(0.95).low  # the bound at which the interval just fits
    assert change.p_value(edge) == pytest.approx(0.025)


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=50))
def test_the_mean_is_inside_its_interval(changes):
    change = Change.of(changes)
    low, high = change.interval(0.95)
    assert -1.5 < low <= change.mean <= high < 1.5


def test_errors_are_as_rare_as_promised():
    # True harm at the bound: "harmless" is wrong. 4,000 comparisons of 1,500 questions, of which 6 % differ.
    rng, margin = np.random.default_rng(0), 0.01
    wrong = 0
    for lost, gained, same in rng.multinomial(1500, [0.035, 0.025, 0.94], size=4000).tolist():
        n = lost + gained + same
        centre = (gained - lost) / (n + 2)
        change = Change(0.0, centre, math.sqrt(((lost + gained + 2) / (n + 2) - centre**2) / (n + 2)))
        wrong += change.finding(margin, 0.95) == "harmless"
    assert wrong / 4000 < 0.025 + 3 * math.sqrt(0.025 / 4000)


def test_the_bootstrap_agrees_with_scipy():
    rng = np.random.default_rng(1)
    changes = rng.choice([-1.0, 0.0, 0.5, 1.0], p=[0.05, 0.85, 0.05, 0.05], size=400)
    expected = stats.bootstrap((changes,), np.mean, method="percentile", n_resamples=10_000, rng=rng).confidence_interval
    assert bootstrap([changes.tolist()], 0.95, seed=0) == pytest.approx(expected, abs=0.002)


def test_the_bootstrap_of_several_tasks_is_that_of_their_mean():
    tasks = [[-1.0] * 10 + [0.0] * 90, [0.0] * 50 + [1.0] * 5]
    low, high = bootstrap(tasks, 0.95, seed=0)
    assert bootstrap(tasks, 0.95, seed=0) == (low, high)
    assert low < (-0.1 + 5 / 55) / 2 < high
    assert bootstrap([[0.0] * 9], 0.95, seed=0) == (0, 0)


@pytest.mark.parametrize(
    "call", [lambda: Change.of([]), lambda: Change.of([2.0]), lambda: Change.of([math.nan]), lambda: mcnemar(-1, 2)]
)
def test_impossible_numbers_are_refused(call):
    with pytest.raises(InputError):
        call()
