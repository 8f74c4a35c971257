import pytest

from insignia.randomness import KeyedRandom
from insignia.statistics.betting import SequentialTest, Tally
from insignia.statistics.forecasts import outlook, plan
from insignia.statistics.nulls import DesignNull
from insignia.statistics.rank_forecasts import forecast_ranks
from insignia.statistics.ranks import Place, RankEvidence

DESIGN = DesignNull(candidates=16)


def ended(test, survival, rng):
    """The outcome of one test of a mark of which this share is left, and after how many keys."""
    tally = Tally(evidence=RankEvidence())
    while (outcome := test.outcome(tally)) is None:
        place = 1 if rng.uniform() < survival else 1 + int(16 * rng.uniform())
        tally = test.after_places(tally, [[Place(place, place, 16)]])
    return outcome, tally.asked


def test_a_whole_mark_takes_six_keys():
    course = list(forecast_ranks(SequentialTest(max_queries=8), 1.0, 16, silent=False))
    assert [odds.asked for odds in course] == list(range(1, 9))
    assert [odds.owned for odds in course[4:]] == [0.0, 1.0, 1.0, 1.0]


def test_the_simulation_agrees_with_the_test_itself():
    test = SequentialTest(max_queries=24)
    rng = KeyedRandom(b"forecast")
    runs = [ended(test, 0.6, rng.derive(number)) for number in range(300)]
    *_, last = forecast_ranks(test, 0.6, 16, silent=False)
    assert sum(outcome == "owned" for outcome, _ in runs) / 300 == pytest.approx(last.owned, abs=0.08)


def test_an_innocent_model_is_hardly_ever_proven_and_mostly_given_up_on():
    *_, last = forecast_ranks(SequentialTest(alpha=1e-3), 0.0, 16, silent=False)
    assert last.owned <= 2e-3
    assert last.not_shown > 0.9
    *_, silent = forecast_ranks(SequentialTest(max_queries=20), 0.0, 16, silent=True)
    assert (silent.owned, silent.not_shown) == (0, 1)


def test_a_plan_by_scores_asks_no_more_keys_than_one_by_choice():
    by_scores, by_choice = (plan(DESIGN, survival=0.69, lost="random", graded=graded) for graded in (True, False))
    assert by_scores.median <= by_choice.median + 1 <= 13
    assert outlook(DESIGN, 64, lost="random", graded=True).healthy == 6
