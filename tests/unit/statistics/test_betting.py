import math
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insignia.errors import InputError
from insignia.statistics.betting import STAKES, Evidence, SequentialTest, Stake, Tally, forecast
from insignia.statistics.nulls import DesignNull
from insignia.statistics.tails import log_binomial_tail

ONE_IN_16 = 1 / 16
OUTCOMES = st.lists(st.booleans(), max_size=40)
BOUNDS = st.floats(1e-6, 1)


def patient(**options):
    """A test that does not give up."""
    return SequentialTest(survival=1e-9, futility=1e-300, **options)


def tally_of(test, *trials):
    tally = Tally()
    for hit, bound in trials:
        tally = test.after(tally, hit=hit, bound=bound)
    return tally


def median_keys(test, hit_rate, bound=ONE_IN_16):
    return next((odds.asked for odds in forecast(test, hit_rate, bound) if odds.owned >= 0.5), None)


def test_capitals_add_up_to_one():
    assert math.fsum(stake.capital for stake in STAKES) == 1
    assert Evidence().log_e == pytest.approx(0, abs=1e-15)
    assert Tally().doubt.log_e == 0


@pytest.mark.parametrize("alpha", [0.05, 0.01, 0.001, 1e-6])
@pytest.mark.parametrize("bound", [0.5, 1 / 3, ONE_IN_16, 1 / 256])
@pytest.mark.parametrize("share_of_bound", [1.0, 0.9, 0.1])
def test_an_innocent_model_is_never_accused_oftener_than_alpha(alpha, bound, share_of_bound):
    test = patient(alpha=alpha, max_queries=150)
    *_, last = forecast(test, bound * share_of_bound, bound)

    assert 0 < last.owned <= alpha


def test_no_adversary_beats_alpha():
    """One who chooses each trial's bound, and whether to hit with that chance or never, from all that came before."""
    alpha, bounds = 0.05, (0.5, 1 / 3, ONE_IN_16)

    def best(evidence, left):
        if evidence.log_e >= -math.log(alpha):
            return 1.0
        if not left:
            return 0.0
        after_miss = best(evidence.after(hit=False, bound=bounds[0]), left - 1)  # a miss is one, under any bound
        gambles = (b * best(evidence.after(hit=True, bound=b), left - 1) + (1 - b) * after_miss for b in bounds)
        return max(after_miss, *gambles)

    assert 0 < best(Evidence(), 7) <= alpha


@given(st.lists(st.floats(0.01, 1), max_size=8))
def test_the_expected_e_value_under_the_null_is_one(bounds):
    total = 0.0
    for outcome in product([True, False], repeat=len(bounds)):
        evidence, chance = Evidence(), 1.0
        for hit, bound in zip(outcome, bounds, strict=True):
            evidence = evidence.after(hit=hit, bound=bound)
            chance *= bound if hit else 1 - bound
        total += chance * math.exp(evidence.log_e)

    assert total == pytest.approx(1, rel=1e-12)


def test_the_forecast_is_the_enumeration_of_all_sequences():
    test = SequentialTest(alpha=0.01, futility=0.2, survival=0.5, max_queries=9)
    owned = not_shown = 0.0
    for sequence in product([True, False], repeat=9):
        tally = Tally()
        for hit in sequence:
            if test.outcome(tally) is None:
                tally = test.after(tally, hit=hit, bound=0.25)
        chance = math.prod(0.4 if hit else 0.6 for hit in sequence)
        owned += chance * (test.outcome(tally) == "owned")
        not_shown += chance * (test.outcome(tally) == "not_shown")
    *_, last = forecast(test, 0.4, 0.25)

    assert (last.owned, last.not_shown) == (pytest.approx(owned, rel=1e-12), pytest.approx(not_shown, rel=1e-12))
    assert owned > 0 < not_shown


def test_a_healthy_mark_is_proven_with_six_keys():
    assert median_keys(SequentialTest(), 0.98) == 6
    assert tally_of(SequentialTest(), *[(True, ONE_IN_16)] * 6).log_p_value == pytest.approx(-13.87, abs=0.01)


def test_thirty_percent_survival_is_proven_with_forty_keys():
    assert median_keys(SequentialTest(), 0.3 + 0.7 * ONE_IN_16) == 39  # lost fingerprints hit by chance
    assert median_keys(SequentialTest(), 0.3) == 51  # lost fingerprints never hit


def test_no_test_at_all_takes_forty_keys_when_lost_fingerprints_never_hit():
    """The most powerful one (Neyman and Pearson) asks for 13 hits of 40, and tosses a coin at 12."""

    def at_least(hits, chance):
        return math.exp(log_binomial_tail(hits, 40, chance))

    coin = (1e-6 - at_least(13, ONE_IN_16)) / (at_least(12, ONE_IN_16) - at_least(13, ONE_IN_16))
    assert 0 < coin < 1
    assert at_least(13, 0.3) + coin * (at_least(12, 0.3) - at_least(13, 0.3)) < 0.5


def test_replies_outside_the_candidate_set_cost_nothing():
    """Six hits are proof however many misses lie between them; with 30 % of hits the 19th key brings the sixth."""
    assert log_binomial_tail(6, 19, 0.3) > math.log(0.5) > log_binomial_tail(6, 18, 0.3)
    null, test = DesignNull(candidates=16), SequentialTest()
    tally = Tally()
    for number in range(20):
        hit = number % 10 in {2, 5, 9}
        tally = test.after(tally, hit=hit, bound=null.bound_given(1 if hit else 0))
        if number < 19:
            assert test.outcome(tally) is None

    assert test.outcome(tally) == "owned"


@pytest.mark.parametrize(("survival", "keys", "best"), [(0.98, 6, 6), (0.3, 39, 38), (0.1, 282, 242)])
def test_not_knowing_the_survival_costs_what_the_module_says(survival, keys, best):
    hit_rate, threshold = survival + (1 - survival) * ONE_IN_16, math.log(1e6)

    def median(stakes):
        alive = {0: (1.0, Evidence.opening(stakes))}
        proven, asked = 0.0, 0
        while proven < 0.5:
            asked += 1
            reached = {}
            for hits, (chance, evidence) in alive.items():
                for hit, share in ((False, 1 - hit_rate), (True, hit_rate)):
                    known, following = reached.get(hits + hit) or (0.0, evidence.after(hit=hit, bound=ONE_IN_16))
                    reached[hits + hit] = (known + chance * share, following)
            proven += sum(chance for chance, evidence in reached.values() if evidence.log_e >= threshold)
            alive = {hits: state for hits, state in reached.items() if state[1].log_e < threshold}
        return asked

    assert (median(STAKES), median((Stake(survival, 1.0),))) == (keys, best)


@pytest.mark.parametrize("excess", [0.0, 0.05, 0.3])
@pytest.mark.parametrize("futility", [0.2, 0.05, 0.01])
def test_a_model_with_enough_fingerprints_is_given_up_no_oftener_than_said(excess, futility):
    test = SequentialTest(alpha=1e-300, futility=futility, max_queries=150)
    *_, last = forecast(test, test.survival + excess, ONE_IN_16)

    assert last.owned == 0
    assert last.not_shown <= futility


def test_an_innocent_model_costs_few_keys():
    def given_up(hit_rate):
        return next(odds.asked for odds in forecast(SequentialTest(), hit_rate, ONE_IN_16) if odds.not_shown >= 0.5)

    assert given_up(0.0) == 16
    assert given_up(ONE_IN_16) == 23


def test_a_test_ends_in_one_of_three_ways():
    test = SequentialTest(max_queries=30)

    assert test.outcome(Tally()) is None
    assert test.outcome(tally_of(test, *[(True, ONE_IN_16)] * 5)) is None
    assert test.outcome(tally_of(test, *[(True, ONE_IN_16)] * 6)) == "owned"
    assert test.outcome(tally_of(test, *[(False, ONE_IN_16)] * 16)) == "not_shown"
    assert test.outcome(tally_of(test, *[(None, ONE_IN_16)] * 29)) is None
    assert test.outcome(tally_of(test, *[(None, ONE_IN_16)] * 30)) == "inconclusive"


def test_unanswered_trials_show_nothing():
    test = SequentialTest()
    before = tally_of(test, (True, 0.1), (False, 0.1))
    after = test.after(before, hit=None, bound=0.1)

    assert after == before._replace(unanswered=1)
    assert after.asked == 3


def test_proof_once_reached_is_not_lost_by_asking_on():
    test = SequentialTest()
    proven = tally_of(test, *[(True, ONE_IN_16)] * 6)
    later = tally_of(test, *[(True, ONE_IN_16)] * 6, *[(False, ONE_IN_16)] * 30)

    assert later.evidence.log_e < proven.evidence.log_e
    assert later.log_p_value == proven.log_p_value
    assert test.outcome(later) == "owned"


@given(OUTCOMES, st.floats(0.001, 0.999), st.randoms())
def test_evidence_does_not_depend_on_the_order(outcomes, bound, chance):
    shuffled = chance.sample(outcomes, len(outcomes))
    one, other = (tally_of(patient(), *((hit, bound) for hit in order)) for order in (outcomes, shuffled))

    assert one.evidence.log_e == pytest.approx(other.evidence.log_e, abs=1e-9)


@given(OUTCOMES, st.data(), BOUNDS, BOUNDS)
def test_evidence_grows_with_hits_and_falls_with_the_null(outcomes, data, one, other):
    low, high = sorted((one, other))
    test = patient()
    under_low = tally_of(test, *((hit, low) for hit in outcomes)).evidence.log_e
    turned = [hit or data.draw(st.booleans()) for hit in outcomes]

    assert tally_of(test, *((hit, low) for hit in turned)).evidence.log_e >= under_low - 1e-9
    if high < 1:  # at 1 nothing is staked, so nothing is lost either
        assert tally_of(test, *((hit, high) for hit in outcomes)).evidence.log_e <= under_low + 1e-9


@given(OUTCOMES, st.floats(1e-9, 0.5), st.floats(1e-9, 0.5))
def test_what_is_proven_at_one_alpha_is_proven_at_a_larger_one(outcomes, one, other):
    small, large = sorted((one, other))
    tally = tally_of(patient(), *((hit, ONE_IN_16) for hit in outcomes))

    if patient(alpha=small).outcome(tally) == "owned":
        assert patient(alpha=large).outcome(tally) == "owned"
    assert (tally.log_p_value <= math.log(small)) == (patient(alpha=small).outcome(tally) == "owned")


@pytest.mark.parametrize(("hit", "bound"), [(True, 0.0), (True, -0.1), (False, 1.1), (False, math.nan)])
def test_trials_that_cannot_be_are_refused(hit, bound):
    with pytest.raises(InputError, match=r"expected \[0, 1\]"):
        Evidence().after(hit=hit, bound=bound)


def test_a_rate_that_cannot_be_is_refused():
    with pytest.raises(InputError, match="from 0 to 1"):
        next(forecast(SequentialTest(), 1.5, ONE_IN_16))
