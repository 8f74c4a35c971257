"""AUROC against a count of all pairs, and its interval against its own equation and a simulation."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insignia.errors import InputError
from insignia.statistics.separation import separation

GROUP = st.lists(st.integers(0, 6).map(float), min_size=1, max_size=30)


def counted(positives, negatives):
    pairs = [(one > other) + (one == other) / 2 for one in positives for other in negatives]
    return sum(pairs) / len(pairs)


@given(GROUP, GROUP)
def test_the_area_is_the_share_of_pairs_in_order(positives, negatives):
    found, turned = separation(positives, negatives), separation(negatives, positives)

    assert found.auroc == pytest.approx(counted(positives, negatives), abs=1e-12)
    assert 0 <= found.low <= found.auroc <= found.high <= 1
    assert (turned.low, turned.high) == pytest.approx((1 - found.high, 1 - found.low), abs=1e-9)


@given(GROUP, GROUP)
def test_the_ends_of_the_interval_are_where_the_score_test_turns(positives, negatives):
    found, m, n = separation(positives, negatives), len(positives), len(negatives)
    for end in (found.low, found.high):
        q1, q2 = end / (2 - end), 2 * end**2 / (1 + end)  # Hanley and McNeil's
        evened = (m + n) / 2 - 1
        variance = (end * (1 - end) + evened * (q1 - end**2) + evened * (q2 - end**2)) / (m * n)
        assert abs(found.auroc - end) == pytest.approx(1.959964 * math.sqrt(max(0.0, variance)), abs=1e-5)


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    rng, held = random.Random(0), 0
    truth = 0.5 * (1 + math.erf(1 / 2))  # P(X > Y) for normal X, Y, a distance of 1 apart
    for _ in range(600):
        found = separation([rng.gauss(1, 1) for _ in range(20)], [rng.gauss(0, 1) for _ in range(40)])
        held += found.low <= truth <= found.high

    assert 0.92 <= held / 600 <= 0.98


def test_groups_that_do_not_overlap_leave_room_for_doubt():
    few, many = separation([2.0] * 8, [1.0] * 8), separation([2.0] * 200, [1.0] * 200)

    assert (few.auroc, few.high, many.auroc) == (1, 1, 1)
    assert few.low < 0.9
    assert 0.97 < many.low < 1
    assert str(few).startswith("1.00 (0.")


def test_no_group_may_be_empty():
    with pytest.raises(InputError, match="member"):
        separation([], [1.0])
