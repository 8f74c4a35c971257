import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insignia.errors import InputError
from insignia.statistics.betting import SequentialTest, Tally, forecast
from insignia.statistics.forecasts import SURVIVALS, outlook, plan
from insignia.statistics.nulls import DeclaredNull, DesignNull, ReferenceNull, ReferenceTrials
from insignia.statistics.tails import log_binomial_tail

DESIGN = DesignNull(candidates=16)
PLAIN = DeclaredNull(chance=1 / 16)  # the same bound without candidates: a lost fingerprint costs evidence


def test_a_healthy_mark_takes_six_keys_and_few_more_for_certainty():
    made = plan(DESIGN, survival=0.98)

    assert (made.median, made.test.max_queries, made.embed) == (6, 7, 7)
    assert made.power >= 0.95


def test_the_planned_test_has_the_promised_power_and_not_with_a_key_less():
    made = plan(PLAIN, survival=0.3, power=0.9)
    *_, before, last = forecast(made.test, 0.3, 1 / 16)

    assert last.asked == made.test.max_queries
    assert last.owned == made.power >= 0.9 > before.owned


@pytest.mark.parametrize("survival", [0.3, 0.6, 0.9])
def test_no_plan_is_cheaper_than_the_most_powerful_test_of_fixed_size(survival):
    asked = plan(PLAIN, survival=survival, futility=1e-9).test.max_queries

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
    with pytest.raises(InputError, match="smaller risk"):
        plan(null, suspects=10)


def test_survivors_that_look_innocent_cannot_be_planned_for():
    with pytest.raises(InputError, match="cannot be proven with"):
        plan(DeclaredNull(chance=0.3), survival=0.3)


@pytest.mark.parametrize(
    "options",
    [{"alpha": 0}, {"survival": 1.1}, {"suspects": 0}, {"futility": 0}, {"power": 0.995}, {"power": 0}, {"lost": "loudly"}],
)
def test_numbers_out_of_range_are_refused(options):
    with pytest.raises(InputError, match="expected"):
        plan(DESIGN, **options)


def test_the_quickstart_of_0_1_0_with_three_candidates_can_be_proven_where_a_third_is_left():
    made = plan(DesignNull(candidates=3), survival=0.3)

    assert (made.median, made.test.max_queries) == (52, 74)


def test_lost_fingerprints_that_name_no_candidate_cost_no_evidence():
    silent, random = plan(DESIGN, survival=0.3), plan(DESIGN, survival=0.3, lost="random")

    assert (silent.median, silent.test.max_queries) == (19, 33)
    assert (random.median, random.test.max_queries) == (39, 78)


def test_without_candidates_a_silent_loss_is_a_miss_that_counts():
    assert plan(PLAIN, survival=0.3).median > plan(DESIGN, survival=0.3).median


@pytest.mark.parametrize("lost", ["silent", "random"])
def test_the_forecast_agrees_with_the_test_of_verify_played_out(lost):
    made = plan(DesignNull(candidates=4), survival=0.5, alpha=0.05, power=0.6, lost=lost)
    chances = {"hit": 0.5, "silent": 0.5} if lost == "silent" else {"hit": 0.625, "wrong": 0.375}
    owned, alive = 0.0, [(1.0, Tally())]
    for _ in range(made.test.max_queries):
        reached = [
            (chance * share, made.test.after(tally, hit=kind == "hit", bound=0.0 if kind == "silent" else 0.25))
            for chance, tally in alive
            for kind, share in chances.items()
        ]
        owned += sum(chance for chance, tally in reached if made.test.outcome(tally) == "owned")
        alive = [(chance, tally) for chance, tally in reached if made.test.outcome(tally) is None]

    assert made.power == pytest.approx(owned)


def test_a_plan_gives_up_where_verify_does_unless_it_has_to_later():
    assert plan(DESIGN, survival=0.9).test.survival == SequentialTest().survival == 0.3
    assert plan(DESIGN, survival=0.1).test.survival == 0.1


def test_the_outlook_is_the_forecast_of_a_default_verify():
    found = outlook(DESIGN, 64)

    assert [chance.survival for chance in found.chances] == list(SURVIVALS)
    assert [chance.median for chance in found.chances] == [6, 6, 11, 19]
    assert [round(chance.proof, 3) for chance in found.chances] == [1.0, 1.0, 1.0, 0.992]
    assert (found.keys, found.healthy, found.tests) == (64, 6, 10)


def test_no_test_asks_more_keys_than_verify_does():
    assert outlook(DESIGN, 8192).keys == 128


def test_the_least_survival_has_the_power_and_a_tenth_of_a_percent_less_has_not():
    found = outlook(PLAIN, 64, power=0.9)

    def power(survival):
        *_, last = forecast(SequentialTest(max_queries=64), survival, 1 / 16)
        return last.owned

    assert power(found.least_survival) >= 0.9 > power(found.least_survival - 1e-3)


def test_too_few_keys_prove_nothing():
    found = outlook(DESIGN, 5)

    assert (found.least_survival, found.healthy, found.tests) == (None, None, 0)
    assert {chance.proof for chance in found.chances} == {0.0}


def test_spent_sets_and_worthless_nulls_have_an_outlook_too():
    worthless = ReferenceNull(models=(ReferenceTrials(hits=4, trials=4),))

    assert outlook(DESIGN, 0).tests == outlook(worthless, 64).tests == 0


def test_suspects_share_the_keys_that_are_left():
    assert outlook(DESIGN, 64, suspects=4).keys == 16
