import itertools
import math
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insignia.errors import InputError
from insignia.randomness import KeyedRandom
from insignia.statistics.betting import SequentialTest, Tally
from insignia.statistics.ranks import BETS, Place, RankEvidence, log_p_of_chosen, log_sum


def first(place, of):
    return Place(place, place, of)


def growth(places):
    return math.exp(RankEvidence().after([places]).log_e)


def keys_until_proof(place_of, *, alpha=1e-6, most=128):
    evidence = RankEvidence()
    for key in range(1, most + 1):
        evidence = evidence.after([place_of(key)])
        if evidence.log_e >= -math.log(alpha):
            return key
    return None


def test_the_capital_is_one():
    assert math.fsum(bet.capital for bet in BETS) == pytest.approx(1)
    assert RankEvidence().log_e == pytest.approx(0, abs=1e-12)


@given(st.integers(2, 40), st.data())
def test_a_rank_pays_one_on_average_whatever_is_tied(count, data):
    """Over the k equally likely responses, for any division of the candidates into groups of tied ones."""
    cuts = sorted({0, count, *data.draw(st.lists(st.integers(1, count - 1), max_size=6))})
    paid = [(last - begin) * growth([Place(begin + 1, last, count)]) for begin, last in itertools.pairwise(cuts)]
    assert math.fsum(paid) / count == pytest.approx(1, rel=1e-9)


@pytest.mark.parametrize("count", [2, 3, 4, 5])
def test_a_whole_order_pays_one_on_average_over_all_orders(count):
    """The places of all k! orders are all combinations of places, so this is the exact null."""
    codes = list(itertools.product(*(range(1, of + 1) for of in range(count, 1, -1))))
    assert len(codes) == math.factorial(count)
    paid = [growth([first(place, of) for place, of in zip(code, range(count, 1, -1), strict=True)]) for code in codes]
    assert math.fsum(paid) / len(codes) == pytest.approx(1, rel=1e-9)


def test_no_adversary_beats_alpha():
    """One who sees each place before choosing how much of the next key to show, and stops when it suits them."""
    alpha, ways = 0.4, ([], [1], [2], [1, 2])

    def best(evidence, left):
        if evidence.log_e >= -math.log(alpha):
            return 1.0
        return max(expected(evidence, left, sizes) for sizes in ways) if left else 0.0

    def expected(evidence, left, sizes):
        """``sizes`` are the groups of tied candidates among three; the response is equally likely to be any."""
        if not sizes:
            return best(evidence, left - 1)
        bounds = [0, *sizes, 3]
        return sum(
            (last - begin) / 3 * best(evidence.after([[Place(begin + 1, last, 3)]]), left - 1)
            for begin, last in itertools.pairwise(bounds)
        )

    assert 0 < best(RankEvidence(), 3) <= alpha


def test_all_tied_shows_nothing():
    assert growth([Place(1, 16, 16)]) == pytest.approx(1)
    assert growth([]) == pytest.approx(1)


def test_a_bet_pays_its_share_of_k():
    """One key whose response comes first of 16, by the definition."""
    paid = 0.0
    for bet in BETS:
        weights = [bet.phi ** abs(place - bet.centre) for place in range(1, 17)]
        paid += bet.capital * (1 - bet.fraction + bet.fraction * 16 * weights[0] / sum(weights))
    assert growth([first(1, 16)]) == pytest.approx(paid)


def test_six_first_places_of_16_prove_a_mark_and_one_whole_order_does():
    assert keys_until_proof(lambda _: [first(1, 16)]) == 6
    assert keys_until_proof(lambda _: [first(1, of) for of in range(16, 1, -1)]) == 1


@pytest.mark.parametrize("dropped", [1, 2, 3, 5])
def test_a_host_who_drops_the_likeliest_tokens_is_found_out(dropped):
    """The response then always comes at the same place; learning which costs two keys at most."""
    assert keys_until_proof(lambda _: [first(1 + dropped, 16)]) <= 8


def test_the_medians_for_partly_kept_marks():
    """First with chance s, else anywhere: by simulation with fixed seeds. A hit-or-miss test needs 9 and 12 keys."""

    def keys(share, seed):
        rng = KeyedRandom(b"medians").derive(str(share), seed)
        return keys_until_proof(lambda _: [first(1 if rng.uniform() < share else 1 + int(16 * rng.uniform()), 16)])

    assert median(keys(0.79, seed) for seed in range(31)) <= 10
    assert median(keys(0.67, seed) for seed in range(31)) <= 13


@given(st.lists(st.integers(1, 16), min_size=1, max_size=12), st.randoms())
def test_the_order_of_the_keys_does_not_matter(places, rng):
    shuffled = rng.sample(places, len(places))
    one, other = RankEvidence(), RankEvidence()
    for place, moved in zip(places, shuffled, strict=True):
        one, other = one.after([[first(place, 16)]]), other.after([[first(moved, 16)]])
    assert one.log_e == pytest.approx(other.log_e, abs=1e-9)


def test_a_choice_among_all_keys_is_paid_for():
    assert log_p_of_chosen(20.0, 64, 64) == pytest.approx(math.log(64) - 20)
    assert log_p_of_chosen(20.0, 1, 64) == pytest.approx(2 * math.log(64) - 20)
    assert log_p_of_chosen(5.0, 6, 64) == 0


@pytest.mark.parametrize("place", [Place(0, 1, 3), Place(2, 1, 3), Place(1, 4, 3)])
def test_impossible_places_are_refused(place):
    with pytest.raises(InputError, match="outside"):
        RankEvidence().after([[place]])


def test_a_test_gives_up_only_while_the_evidence_shows_nothing():
    test, silent, moved = SequentialTest(), Tally(evidence=RankEvidence()), Tally(evidence=RankEvidence())
    for _ in range(16):
        silent = test.after_places(silent, [[]])
    assert test.outcome(silent) == "not_shown" or silent.evidence.grows
    for _ in range(5):
        moved = test.after_places(moved, [[first(4, 16)]])
    assert (moved.hits, moved.misses, test.outcome(moved)) == (0, 5, None)
    assert log_sum([-math.inf, 0.0]) == 0
    with pytest.raises(InputError, match="places"):
        test.after(silent, hit=True, bound=0.5)
    with pytest.raises(InputError, match="hits"):
        test.after_places(Tally(), [[]])
