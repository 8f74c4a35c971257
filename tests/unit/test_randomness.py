from hypothesis import given
from hypothesis import strategies as st

from insignia.randomness import KeyedRandom

SECRET = bytes(range(32))


def test_draws_are_the_same_on_every_machine_for_ever():
    chance = KeyedRandom(SECRET).derive("key", 3, 0)

    assert [chance.below(1000) for _ in range(4)] == GOLDEN


GOLDEN = [469, 625, 31, 864]


def test_derived_streams_do_not_depend_on_draws_made_elsewhere():
    one, other = KeyedRandom(SECRET), KeyedRandom(SECRET)
    one.uniform()

    assert one.derive("a").below(10**9) == other.derive("a").below(10**9)


def test_labels_do_not_run_together():
    chance = KeyedRandom(SECRET)

    assert chance.derive("a", "bc").uniform() != chance.derive("ab", "c").uniform()


def test_fresh_secrets_differ():
    assert KeyedRandom.fresh().secret != KeyedRandom.fresh().secret


@given(st.binary(min_size=32, max_size=32), st.integers(1, 10**6))
def test_draws_stay_in_their_ranges(secret, bound):
    chance = KeyedRandom(secret)

    assert 0 <= chance.below(bound) < bound
    assert 0 <= chance.uniform() < 1


def test_uniform_draws_are_uniform():
    chance = KeyedRandom(SECRET)
    draws = [chance.uniform() for _ in range(4000)]

    assert abs(sum(draws) / len(draws) - 0.5) < 0.02
    assert abs(sum(draw < 0.1 for draw in draws) / len(draws) - 0.1) < 0.02
