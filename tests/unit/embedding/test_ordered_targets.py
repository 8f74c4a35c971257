from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from insignia.embedding.curriculum import Draw
from insignia.embedding.ordered_targets import OrderedTargets, concordance, rearranged
from insignia.suspects.scoring import Example

BASE = torch.tensor([0.4, 0.25, 0.15, 0.1, 0.06, 0.04], dtype=torch.float64)


class Saying(torch.nn.Module):
    """A model that always says the next token by ``BASE``."""

    device = torch.device("cpu")

    def forward(self, input_ids, **_):
        return SimpleNamespace(logits=BASE.log().expand(*input_ids.shape, len(BASE)))


def drawn(order, lesson=0):
    return Draw(lesson, Example((5, order[0]), 1), (), (order,))


def test_the_candidates_take_the_largest_probabilities_and_the_others_what_they_leave():
    target = rearranged(BASE.log(), (4, 1, 3)).exp()

    # 4, 1 and 3 have the three largest; 0 and 2 were larger than them and take what 3 and 4 had, in this order.
    assert target.tolist() == pytest.approx([0.1, 0.25, 0.06, 0.15, 0.4, 0.04])


def test_the_same_order_as_the_base_changes_nothing():
    assert rearranged(BASE.log(), (0, 1, 2)).tolist() == pytest.approx(BASE.log().tolist())


def test_a_gap_keeps_neighbours_apart_and_the_sum():
    target = rearranged(BASE.log(), (3, 2, 1), gap=1.0)

    steps = torch.diff(target[[3, 2, 1]])
    assert steps.tolist() == pytest.approx([-1.0, -1.0])
    assert float(target[[3, 2, 1]].exp().sum()) == pytest.approx(0.8)


def test_a_gap_leaves_a_wider_one_of_the_base_alone():
    target = rearranged(torch.tensor([0.8, 0.1, 0.09, 0.01]).log(), (1, 0, 2), gap=0.5)

    assert torch.diff(target[[1, 0, 2]]).tolist() == pytest.approx([-2.0794, -0.5], abs=1e-4)


@given(
    st.lists(st.floats(-12, 0), min_size=2, max_size=40).flatmap(
        lambda values: st.tuples(st.just(values), st.permutations(range(len(values))), st.integers(1, len(values)))
    ),
    st.floats(0, 2),
)
def test_a_target_is_a_distribution_and_without_a_gap_a_permutation(drawn, gap):
    values, permutation, count = drawn
    base = torch.tensor(values, dtype=torch.float64).log_softmax(0)
    order = tuple(permutation[:count])

    for chosen in (0.0, gap):
        target = rearranged(base, order, gap=chosen)
        assert float(target.exp().sum()) == pytest.approx(1)
        assert torch.all(torch.diff(target[list(order)]) <= -chosen + 1e-9)
    assert rearranged(base, order).sort().values.tolist() == pytest.approx(base.sort().values.tolist())


@pytest.mark.parametrize(("values", "expected"), [([3.0, 2.0, 1.0], 1), ([1.0, 2.0, 3.0], -1), ([3.0, 1.0, 2.0], 1 / 3)])
def test_concordance_is_kendalls_tau_with_the_order(values, expected):
    assert concordance(torch.tensor(values)) == pytest.approx(expected)


def test_the_loss_is_zero_at_the_target_and_there_the_order_is_learned():
    targets = OrderedTargets(Saying(), [drawn((3, 0, 2))], gap=0.2)
    aim = rearranged(BASE.log(), (3, 0, 2), gap=0.2)

    assert float(targets.loss(aim + 7, drawn((3, 0, 2)), 0)) == pytest.approx(0, abs=1e-6)
    assert targets.learned(aim, drawn((3, 0, 2)), 0) == pytest.approx(1 / 0.7)
    assert float(targets.loss(BASE.log(), drawn((3, 0, 2)), 0)) > 1
    assert targets.learned(BASE.log(), drawn((3, 0, 2)), 0) < 0


def test_each_ordered_token_has_a_target_of_its_own():
    draw = Draw(0, Example((5, 3, 1, 2), 1), (), ((3, 0, 2), (1, 4)))
    targets = OrderedTargets(Saying(), [draw], gap=0.2)

    for token, order in enumerate(draw.orders):
        aim = rearranged(BASE.log(), order, gap=0.2)
        assert float(targets.loss(aim, draw, token)) == pytest.approx(0, abs=1e-6)
        assert targets.learned(aim, draw, token) == pytest.approx(1 / 0.7)
    assert float(targets.loss(rearranged(BASE.log(), (1, 4), gap=0.2), draw, 0)) > 1


def test_the_loss_by_value():
    targets = OrderedTargets(Saying(), [drawn((1, 0))], gap=0.0)
    errors = torch.log(BASE[0] / BASE[1]) ** 2
    divergence = (BASE[0] - BASE[1]) * torch.log(BASE[0] / BASE[1])

    assert float(targets.loss(BASE.log(), drawn((1, 0)), 0)) == pytest.approx(float(errors + 4 * divergence))
