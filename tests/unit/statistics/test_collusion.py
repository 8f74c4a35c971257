"""How many blocks a plan asks for."""

import numpy as np
import pytest

from insignia.errors import InputError
from insignia.statistics.collusion import blocks_to_trace, seen_blocks
from insignia.statistics.tracing import log_ratio

HALF = {"biases": np.array([0.5]), "weights": np.array([1.0]), "bound": 0.01}


def test_one_leaker_takes_a_few_blocks_more_than_there_are_bits_to_tell():
    plan = blocks_to_trace(**HALF, licensees=1000, colluders=1, alpha=1e-3)
    assert (plan.strategy, plan.per_block) == ("in_turn", 1)
    assert 20 < plan.median <= plan.blocks < 40  # log2(1000 / 0.001) = 19.9
    assert plan.keys == plan.blocks


def test_more_licensees_more_certainty_more_colluders_and_fewer_fingerprints_left_take_more_blocks():
    asked = {"licensees": 100, "colluders": 1, "alpha": 0.01}
    blocks = [
        blocks_to_trace(**HALF, **(asked | change)).blocks
        for change in ({}, {"licensees": 10**6}, {"alpha": 1e-6}, {"survival": 0.5}, {"colluders": 2})
    ]
    assert blocks[0] == min(blocks)
    assert len(set(blocks)) > 3
    assert blocks_to_trace(**HALF, **asked, survival=0.5, per_block=4).blocks < blocks[3]


def test_a_plan_is_the_same_each_time():
    asked = {"licensees": 50, "colluders": 2, "alpha": 0.05}
    assert blocks_to_trace(**HALF, **asked) == blocks_to_trace(**HALF, **asked)


def test_a_coalition_that_adapts_takes_the_most_blocks_and_a_plan_has_some_to_spare():
    asked = {"licensees": 20, "colluders": 2, "alpha": 0.05}
    plan = blocks_to_trace(**HALF, **asked)
    assert plan.strategy == "least_evidence"
    for seed in (1, 2):  # other coalitions than it was measured with
        assert plan.blocks >= blocks_to_trace(**HALF, **asked, power=0.92, seed=seed).blocks


def test_blocks_that_are_present_hit_and_others_seldom_do():
    present = np.array([True] * 500 + [False] * 500)
    seen = seen_blocks(np.random.default_rng(0), present, survival=0.9, per_block=1, bound=0.1)
    hits = seen[0] == log_ratio(1, 0, 0.1)[0]
    assert hits[:500].mean() == pytest.approx(0.91, abs=0.04)
    assert hits[500:].mean() == pytest.approx(0.1, abs=0.04)


@pytest.mark.parametrize("wrong", [{"power": 1.0}, {"survival": 0.0}, {"alpha": 0.0}])
def test_what_cannot_be_is_refused(wrong):
    with pytest.raises(InputError, match="expected"):
        blocks_to_trace(**HALF, **({"licensees": 5, "colluders": 1, "alpha": 0.1} | wrong))
