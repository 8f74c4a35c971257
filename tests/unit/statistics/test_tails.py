import math
from fractions import Fraction
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from insignia.errors import InputError
from insignia.statistics.tails import (
    grinding_bits,
    holm,
    log_binomial_tail,
    log_poisson_binomial_tail,
    upper_limit,
)

CHANCES = st.floats(1e-9, 1 - 1e-9)
RISKS = st.floats(1e-12, 0.5)


def exact_log(value):
    """The logarithm of a fraction of whole numbers of any size."""
    bits = max(0, value.denominator.bit_length() - value.numerator.bit_length())
    return math.log(value * 2**bits) - bits * math.log(2)


def exact_tail(hits, chances):
    """By the recursion, in whole numbers: a float is a fraction."""
    masses = [Fraction(1)]
    for chance in map(Fraction, chances):
        masses = [low * chance + high * (1 - chance) for low, high in zip([0, *masses], [*masses, 0], strict=True)]
    return sum(masses[hits:])


def exact_binomial_tail(hits, trials, chance):
    up, scale = Fraction(chance).as_integer_ratio()
    total = sum(math.comb(trials, j) * up**j * (scale - up) ** (trials - j) for j in range(hits, trials + 1))
    return Fraction(total, scale**trials)


@pytest.mark.parametrize(
    ("hits", "trials", "chance"),
    [(1, 1, 0.5), (6, 6, 1 / 16), (20, 32, 1 / 16), (39, 64, 1 / 3), (64, 128, 1 / 3), (300, 1024, 1 / 3), (300, 1024, 0.3)],
)
def test_binomial_tail_is_that_of_scipy(hits, trials, chance):
    assert math.exp(log_binomial_tail(hits, trials, chance)) == pytest.approx(
        stats.binom.sf(hits - 1, trials, chance), rel=1e-12
    )


def test_published_tails_are_met():
    """statistics.md 3b, column "exact binomial"."""
    assert math.exp(log_binomial_tail(39, 64, 1 / 3)) == pytest.approx(5.6e-6, rel=0.01)
    assert math.exp(log_binomial_tail(20, 32, 1 / 16)) == pytest.approx(9.0e-17, rel=0.01)
    assert math.exp(log_binomial_tail(6, 10, 1 / 64)) == pytest.approx(2.9e-9, rel=0.01)


@pytest.mark.parametrize(
    ("trials", "chance", "needed"),
    [
        (10, 1 / 256, {40: 6, 80: 10}),
        (32, 1 / 256, {40: 8, 80: 14, 128: 20}),
        (64, 1 / 256, {40: 10, 80: 17, 128: 24}),
        (64, 1 / 16, {40: 24, 80: 35, 128: 45}),
        (128, 1 / 16, {40: 34, 80: 48, 128: 62}),
        (128, 1 / 3, {40: 83, 80: 100, 128: 114}),
        (256, 1 / 3, {40: 141, 80: 166, 128: 189}),
    ],
)
def test_so_many_hits_are_out_of_a_grinders_reach(trials, chance, needed):
    """statistics.md 3d, the least hits for each number of bits."""
    bits = [grinding_bits(hits, trials, chance) for hits in range(trials + 1)]

    assert {each: next(hits for hits, found in enumerate(bits) if found >= each) for each in needed} == needed
    assert bits == sorted(bits)
    assert bits[0] == 0


@pytest.mark.parametrize(
    ("hits", "trials", "chance"),
    [(250, 250, 1 / 16), (260, 300, 1 / 16), (900, 1000, 0.01), (1, 1000, 1e-9), (400, 1100, 1 / 3), (350, 1100, 1 / 3)],
)
def test_tails_are_exact_far_below_the_smallest_float(hits, trials, chance):
    oracle = exact_log(exact_binomial_tail(hits, trials, chance))
    tolerance = 1e-12 if oracle > -1000 else -oracle * 1e-15

    assert log_binomial_tail(hits, trials, chance) == pytest.approx(oracle, rel=0, abs=tolerance)
    assert log_poisson_binomial_tail(hits, [chance] * trials) == pytest.approx(oracle, rel=0, abs=tolerance)


@given(st.lists(st.floats(0, 1), max_size=9), st.data())
def test_poisson_binomial_tail_is_that_of_all_outcomes(chances, data):
    hits = data.draw(st.integers(0, len(chances)))
    outcomes = product([True, False], repeat=len(chances))
    oracle = sum(
        math.prod(Fraction(chance) if hit else 1 - Fraction(chance) for hit, chance in zip(outcome, chances, strict=True))
        for outcome in outcomes
        if sum(outcome) >= hits
    )

    log_p = log_poisson_binomial_tail(hits, chances)
    if oracle == 0:
        assert log_p == -math.inf
    else:
        expected = exact_log(oracle)
        assert log_p == pytest.approx(expected, rel=1e-15, abs=1e-12)


@given(st.lists(st.floats(0, 1), min_size=20, max_size=40), st.data())
def test_poisson_binomial_tail_is_that_of_whole_numbers(chances, data):
    hits = data.draw(st.integers(0, len(chances)))
    oracle = exact_tail(hits, chances)

    expected = exact_log(oracle) if oracle else -math.inf
    assert log_poisson_binomial_tail(hits, chances) == pytest.approx(expected, rel=1e-15, abs=1e-12)


@given(st.integers(0, 300), st.data(), CHANCES)
def test_equal_chances_give_the_binomial_tail(trials, data, chance):
    hits = data.draw(st.integers(0, trials))

    assert log_poisson_binomial_tail(hits, [chance] * trials) == pytest.approx(
        log_binomial_tail(hits, trials, chance), rel=1e-14, abs=1e-12
    )


@given(st.integers(0, 500), st.data(), CHANCES, CHANCES)
def test_more_hits_are_less_likely_and_a_higher_chance_makes_them_likelier(trials, data, one, other):
    hits = data.draw(st.integers(0, trials))
    low, high = sorted((one, other))

    assert log_binomial_tail(hits + 1, trials, low) <= log_binomial_tail(hits, trials, low) + 1e-13
    assert log_binomial_tail(hits, trials, low) <= log_binomial_tail(hits, trials, high) + 1e-13
    assert log_binomial_tail(hits, trials, low) <= log_binomial_tail(hits, trials + 1, low) + 1e-13


@given(st.lists(CHANCES, min_size=1, max_size=30), st.data(), CHANCES)
def test_raising_one_chance_raises_the_poisson_binomial_tail(chances, data, chance):
    hits = data.draw(st.integers(0, len(chances)))
    raised = [max(chance, chances[0]), *chances[1:]]

    assert log_poisson_binomial_tail(hits, chances) <= log_poisson_binomial_tail(hits, raised) + 1e-12


def test_impossible_and_certain_hits():
    assert log_binomial_tail(0, 0, 0.5) == 0
    assert log_binomial_tail(1, 5, 0.0) == -math.inf
    assert log_binomial_tail(5, 5, 1.0) == 0
    assert log_binomial_tail(6, 5, 1.0) == -math.inf
    assert log_poisson_binomial_tail(2, [1.0, 0.0, 0.25]) == pytest.approx(math.log(0.25), rel=1e-15)
    assert log_poisson_binomial_tail(3, [1.0, 0.0, 0.25]) == -math.inf


@pytest.mark.parametrize("arguments", [(-1, 5, 0.5), (1, -5, 0.5), (1, 5, 1.5), (1, 5, math.nan)])
def test_counts_and_chances_out_of_range_are_refused(arguments):
    with pytest.raises(InputError, match=r"cannot be negative|from 0 to 1"):
        log_binomial_tail(*arguments)


def test_negative_hits_are_refused_even_without_trials():
    with pytest.raises(InputError, match="cannot be negative"):
        log_poisson_binomial_tail(-1, [])


@given(st.integers(1, 400), st.data(), RISKS)
def test_limits_are_the_quantiles_of_clopper_and_pearson(trials, data, risk):
    hits = data.draw(st.integers(0, trials))
    upper = 1.0 if hits == trials else stats.beta.isf(risk, hits + 1, trials - hits)

    assert upper_limit(hits, trials, risk) == pytest.approx(upper, rel=1e-10)  # scipy's quantiles are no better


@given(st.integers(1, 30), CHANCES, st.floats(1e-6, 0.5))
def test_limits_miss_the_true_chance_no_oftener_than_they_say(trials, chance, risk):
    masses = [
        math.comb(trials, hits) * Fraction(chance) ** hits * (1 - Fraction(chance)) ** (trials - hits)
        for hits in range(trials + 1)
    ]
    below = sum(mass for hits, mass in enumerate(masses) if upper_limit(hits, trials, risk) < chance)

    assert below <= risk * (1 + 1e-12)


def test_limits_without_hits_have_a_closed_form():
    assert upper_limit(0, 1024, 1e-7) == pytest.approx(-math.expm1(math.log(1e-7) / 1024), rel=1e-13)


@pytest.mark.parametrize("arguments", [(1, 0, 0.1), (3, 2, 0.1), (-1, 2, 0.1), (1, 2, 0.0), (1, 2, 0.6)])
def test_limits_of_nothing_are_refused(arguments):
    with pytest.raises(InputError, match="expected"):
        upper_limit(*arguments)


def test_holm_raises_the_least_p_value_most():
    adjusted = holm([math.log(p) for p in (0.04, 0.01, 0.03, 0.9)])

    assert [math.exp(log_p) for log_p in adjusted] == pytest.approx([0.09, 0.04, 0.09, 0.9])
    assert holm([-5.0]) == (-5.0,)
    assert holm([]) == ()


@given(st.lists(st.floats(-1000, 0), max_size=20))
def test_holm_keeps_the_order_and_lies_between_none_and_bonferroni(log_p_values):
    adjusted = holm(log_p_values)

    for one, raised in zip(log_p_values, adjusted, strict=True):
        assert one <= raised <= min(0, one + math.log(len(log_p_values)))
    assert sorted(adjusted) == [raised for _, raised in sorted(zip(log_p_values, adjusted, strict=True))]


def test_holm_accuses_an_innocent_no_oftener_than_alpha():
    """All of three independent innocents with p-values uniform on 40 steps: any rejection, by enumeration."""
    steps, alpha = 40, 0.05
    grid = [math.log((step + 1) / steps) for step in range(steps)]
    accused = sum(min(holm(p_values)) <= math.log(alpha) + 1e-12 for p_values in product(grid, repeat=3))

    assert accused / steps**3 <= alpha
