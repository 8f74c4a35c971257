"""What tracing promises: no bet gains from an innocent licensee, whatever a suspect shows and whoever made it."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from insignia.errors import InputError
from insignia.statistics.tracing import BETS, KEPT, log_ratio, log_ratio_of_gain, log_threshold, payoffs, shown, strategies

BIASES = st.floats(0.01, 0.99)
RATIOS = st.floats(-60, 60)


def every_word(blocks):
    return np.array(list(itertools.product([False, True], repeat=blocks)))


def chance_of(words, biases):
    return np.where(words, biases, 1 - biases).prod(1)


@given(st.data(), st.integers(1, 6))
def test_an_innocent_licensee_gains_nothing_on_average_whatever_was_seen(data, blocks):
    biases = np.array(data.draw(st.lists(BIASES, min_size=blocks, max_size=blocks)))
    seen = np.array([data.draw(st.lists(RATIOS, min_size=blocks, max_size=blocks)) for _ in KEPT])
    words = every_word(blocks)
    found = payoffs(biases, seen)
    mean = chance_of(words, biases) @ np.exp(log_e(found, words))
    assert mean == pytest.approx(1, rel=1e-9)


def log_e(found, words):
    """In fp64, as ``Payoffs.log_e`` is not."""
    gains = np.where(words[:, None, :], found.having, found.without).sum(2) + np.log([bet.capital for bet in BETS])
    return np.logaddexp.reduce(gains, axis=1)


@given(st.data())
def test_every_single_bet_is_fair(data):
    biases = np.array([data.draw(BIASES)])
    found = payoffs(biases, np.array([[data.draw(RATIOS)] for _ in KEPT]))
    mean = (1 - biases) * np.exp(found.without) + biases * np.exp(found.having)
    assert mean == pytest.approx(np.ones((len(BETS), 1)), rel=1e-9)


def test_the_capital_is_divided():
    assert math.fsum(bet.capital for bet in BETS) == pytest.approx(1)
    assert all(0 < chance < 1 for bet in BETS for chance in bet.shows)  # no bet can lose all at one block


def test_an_erased_block_changes_nothing():
    rng = np.random.default_rng(0)
    biases, words = rng.uniform(0.1, 0.9, 12), rng.random((5, 12)) < 0.5
    seen = rng.normal(size=(len(KEPT), 12))
    seen[:, 7:] = 0
    assert payoffs(biases, seen).log_e(words) == pytest.approx(payoffs(biases[:7], seen[:, :7]).log_e(words[:, :7]), abs=1e-4)


def test_a_sum_in_fp32_is_near_enough():
    rng = np.random.default_rng(1)
    biases, words, seen = rng.uniform(0.1, 0.9, 10), rng.random((3, 10)) < 0.5, rng.normal(size=(len(KEPT), 10))
    found = payoffs(biases, seen)
    assert found.log_e(words) == pytest.approx(log_e(found, words), abs=1e-4)


def test_a_single_leaker_among_a_thousand_stands_out_and_nobody_else():
    rng = np.random.default_rng(2)
    words = rng.random((1000, 48)) < 0.5
    seen = np.array([log_ratio(2, 0, 1 / 16) if bit else log_ratio(0, 2, 1 / 16) for bit in words[17]]).T
    values = payoffs(np.full(48, 0.5), seen).log_e(words)
    assert values[17] == pytest.approx(31.1, abs=0.1)  # 48 log 2 = 33.3, less what the other bets were given
    assert np.flatnonzero(values >= log_threshold(1000, 1e-6)).tolist() == [17]


@pytest.mark.parametrize("colluders", [1, 2, 3, 6])
def test_what_a_coalition_shows_is_counted_as_by_enumeration(colluders):
    biases = np.array([0.3])
    for shows in strategies(colluders).values():
        lacking, having = shown(shows, biases)
        for bit, found in ((False, lacking), (True, having)):
            others = every_word(colluders - 1)
            expected = sum(
                chance * shows[int(word.sum()) + bit] for word, chance in zip(others, chance_of(others, 0.3), strict=True)
            )
            assert found[0] == pytest.approx(expected)


def test_strategies_obey_the_marking_assumption_and_none_is_listed_twice():
    assert list(strategies(1)) == ["in_turn"]
    assert list(strategies(2)) == ["in_turn", "any", "all"]  # two take turns at random: half of what one has
    for colluders in range(1, 9):
        found = strategies(colluders)
        assert len(set(found.values())) == len(found)
        assert all(shows[0] == 0 and shows[-1] == 1 and len(shows) == colluders + 1 for shows in found.values())
    assert strategies(4)["majority"] == (0, 0, 0.5, 1, 1)
    assert strategies(4)["minority"] == (0, 1, 0.5, 0, 1)


def test_likelihood_ratios_of_replies():
    assert log_ratio(0, 0, 0.1) == (0, 0, 0)
    assert log_ratio(1, 0, 1 / 16)[0] == pytest.approx(math.log((0.98 + 0.02 / 16) * 16))
    assert log_ratio(0, 2, 1 / 16)[1] == pytest.approx(2 * math.log(0.3))
    assert log_threshold(1000, 1e-3) == pytest.approx(math.log(1e6))


def test_what_a_response_gained_says_whether_its_block_is_in():
    whole, changed, merged = zip(*(log_ratio_of_gain(gain) for gain in (-9.0, 0.5, 2.0, 3.0, 6.5)), strict=True)

    assert whole[4] > 4  # as embedded
    assert whole[2] < -2 < 2 < merged[2]  # 2 nats are of a block that is out, unless the copy was merged
    assert whole[3] < 0 < changed[3]
    assert all(ratios[1] < -2 for ratios in (whole, changed, merged))
    assert whole[0] == pytest.approx(0, abs=1e-6)  # neither would leave it there


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: log_ratio(1, 0, 0.0),
        lambda: log_threshold(0, 0.1),
        lambda: log_threshold(5, 1.0),
        lambda: strategies(0),
        lambda: payoffs(np.array([0.5]), np.zeros((2, 1))),
        lambda: payoffs(np.array([1.0]), np.zeros((3, 1))),
    ],
)
def test_what_cannot_be_is_refused(wrong):
    with pytest.raises(InputError, match="expected"):
        wrong()
