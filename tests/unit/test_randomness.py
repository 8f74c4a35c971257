import itertools
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from insignia.randomness import KeyedRandom

SECRET = bytes(range(32))


def test_draws_are_the_same_on_every_machine_for_ever():
    rng = KeyedRandom(SECRET).derive("key", 3, 0)

    assert [rng.below(1000) for _ in range(4)] == GOLDEN


GOLDEN = [469, 625, 31, 864]


def test_every_order_is_equally_likely():
    rng = KeyedRandom(SECRET)
    seen = Counter(rng.permutation(3) for _ in range(6000))
    chi_squared = sum((seen[order] - 1000) ** 2 / 1000 for order in itertools.permutations(range(3)))

    assert chi_squared < 20.5  # 0.999 quantile, 5 degrees of freedom


def test_derived_streams_do_not_depend_on_draws_made_elsewhere():
    one, other = KeyedRandom(SECRET), KeyedRandom(SECRET)
    one.uniform()

    assert one.derive("a").below(10**9) == other.derive("a").below(10**9)


def test_labels_do_not_run_together():
    rng = KeyedRandom(SECRET)

    assert rng.derive("a", "bc").uniform() != rng.derive("ab", "c").uniform()


def test_fresh_secrets_differ():
    assert KeyedRandom.fresh().secret != KeyedRandom.fresh().secret


@given(st.binary(min_size=32, max_size=32), st.integers(1, 10**6))
def test_draws_stay_in_their_ranges(secret, bound):
    rng = KeyedRandom(secret)

    assert 0 <= rng.below(bound) < bound
    assert 0 <= rng.uniform() < 1


def test_uniform_draws_are_uniform():
    rng = KeyedRandom(SECRET)
    draws = [rng.uniform() for _ in range(4000)]

    assert abs(sum(draws) / len(draws) - 0.5) < 0.02
    assert abs(sum(draw < 0.1 for draw in draws) / len(draws) - 0.1) < 0.02


def test_every_kind_of_draw_is_fixed_for_ever():
    rng = KeyedRandom(SECRET)

    assert rng.uniform() == 0.409927410262828
    assert rng.below(2**256).to_bytes(32, "big").hex() == "1a11fa0335bbc46f43ef54706e0e335cee4c6f83999b5d4a30ac24e487e47b05"
    assert rng.choice("abcdefgh") == "e"
    assert rng.derive("text", 7).secret.hex() == "544e21845f7b20789c06b3df53cb0d6dcac6d502765e909a4fbcde0e72b05cd4"


@given(st.lists(st.text() | st.integers(), max_size=4), st.lists(st.text() | st.integers(), max_size=4))
def test_streams_of_other_labels_are_other_streams(one, other):
    rng = KeyedRandom(SECRET)
    same = list(map(str, one)) == list(map(str, other))

    assert (rng.derive(*one).secret == rng.derive(*other).secret) is same


def test_a_stream_is_repeated_from_its_secret_alone():
    rng = KeyedRandom.fresh()
    draws = [rng.below(1000) for _ in range(5)]
    again = KeyedRandom(rng.secret)

    assert [again.below(1000) for _ in range(5)] == draws
    assert len(rng.secret) == 32


def test_whole_numbers_are_uniform():
    rng = KeyedRandom(SECRET).derive("chi")
    counts = Counter(rng.below(10) for _ in range(5000))

    assert sum((counts[digit] - 500) ** 2 / 500 for digit in range(10)) < 27.9  # 0.999 quantile, 9 degrees of freedom
