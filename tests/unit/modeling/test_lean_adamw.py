"""The lean optimizer takes torch's steps, within what its number formats allow."""

import copy

import pytest
import torch

from insignia.modeling.lean_adamw import LeanAdamW

STEPS, RATE = 60, 1e-3


def trained(make, dtype=torch.float32, *, steps=STEPS):
    """Weights of a regression after some steps; 300 x 70 weights are no multiple of a block."""
    chance = torch.Generator().manual_seed(0)
    start, target = (0.05 * torch.randn(300, 70, generator=chance) for _ in range(2))
    inputs = torch.randn(512, 300, generator=chance)
    weight = torch.nn.Parameter(start.to(dtype))
    optimizer = make([weight])
    for _ in range(steps):
        some = inputs[torch.randint(512, (64,), generator=chance)]
        (some @ (weight.float() - target)).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    return weight, optimizer


@pytest.fixture(scope="module")
def exact():
    return trained(lambda weights: torch.optim.AdamW(weights, lr=RATE, weight_decay=0.1))[0].detach()


@pytest.mark.parametrize(
    ("options", "dtype", "tolerance"),
    [
        ({"eight_bits": False}, torch.float32, 1e-5),
        ({"eight_bits": True}, torch.float32, 0.02),
        ({"eight_bits": False, "master": True}, torch.bfloat16, 0.01),
        ({"eight_bits": True, "master": True}, torch.bfloat16, 0.03),
        ({"eight_bits": True}, torch.bfloat16, 0.05),
    ],
    ids=["float32", "8 bits", "master", "master, 8 bits", "stochastic, 8 bits"],
)
def test_weights_move_as_with_torchs_optimizer(options, dtype, tolerance, exact):
    moved, _ = trained(lambda weights: LeanAdamW(weights, lr=RATE, weight_decay=0.1, **options), dtype)
    start, _ = trained(LeanAdamW, steps=0)

    assert float((moved.detach().float() - exact).norm() / (exact - start.detach()).norm()) < tolerance


def test_updates_below_half_a_unit_of_bfloat16_count_on_average():
    weight = torch.nn.Parameter(torch.ones(4096, dtype=torch.bfloat16))
    optimizer = LeanAdamW([weight], lr=1e-4)  # a unit below 1 is 2^-8
    for _ in range(20):
        weight.grad = torch.ones_like(weight)
        optimizer.step()

    assert float(1 - weight.detach().float().mean()) == pytest.approx(20e-4, rel=0.2)


def test_the_master_is_the_float32_weight():
    weight, optimizer = trained(lambda weights: LeanAdamW(weights, lr=RATE, eight_bits=False, master=True), torch.bfloat16)
    master = optimizer._exact(weight.detach().view(-1), optimizer.state[weight], slice(None))

    assert torch.equal(master.to(torch.bfloat16), weight.detach().view(-1))
    assert not torch.equal(master, weight.detach().view(-1).float())


@pytest.mark.parametrize("master", [True, False], ids=["masters", "rounded at random"])
def test_a_restored_optimizer_goes_on_as_if_it_had_not_stopped(master):
    def steps(optimizer, weight, count):
        for number in range(count):
            weight.grad = torch.full_like(weight, 0.1 * (number + 1))
            optimizer.step()

    one, other = (torch.nn.Parameter(torch.linspace(-1, 1, 1000).bfloat16()) for _ in range(2))
    first, second = (LeanAdamW([weight], lr=0.01, master=master) for weight in (one, other))
    steps(first, one, 3)
    with torch.no_grad():
        other.copy_(one)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    steps(first, one, 2)
    steps(second, other, 2)

    assert second.state[other]["first"].dtype == torch.int8
    assert torch.equal(one, other)
