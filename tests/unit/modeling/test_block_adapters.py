"""Blocks: off until they are switched on, each row with its own, and the same as products added to the weights."""

import pytest
import torch

from insignia.modeling.block_adapters import BlockAdapters, adapters_of, without_ranks
from insignia.modeling.lora import add_products, factors_of, products_of
from tiny_models import random_model

IDS = torch.tensor([[5, 6, 7, 8], [9, 10, 11, 12], [5, 6, 7, 8]])


def said(model):
    with torch.no_grad():
        return model(IDS).logits


@pytest.fixture(params=["llama tied", "gpt2"])
def wrapped(request):
    """A model, what it says, and three trained blocks on it."""
    model = random_model(request.param).eval()
    before = said(model)
    adapters = BlockAdapters(model, blocks=3, rank=2, seed=0)
    assert torch.equal(said(model), before)
    with torch.no_grad():
        for layer in adapters._layers.values():
            layer.left.normal_(std=0.05, generator=torch.Generator().manual_seed(1))
    return model, before, adapters


def test_blocks_are_off_until_switched_on_and_off_again_afterwards(wrapped):
    model, before, adapters = wrapped
    with adapters.on(torch.ones(1, 3, dtype=torch.bool)):
        assert not torch.allclose(said(model), before, atol=1e-2)
        with adapters.on(None):
            assert torch.equal(said(model), before)
    assert torch.equal(said(model), before)
    assert adapters_of(model) is adapters


def test_each_row_has_its_own_blocks(wrapped):
    model, before, adapters = wrapped
    chosen = torch.tensor([[True, False, True], [False, True, False], [False, False, False]])
    with adapters.on(chosen):
        together = said(model)
    for row in range(3):
        with adapters.on(chosen[row : row + 1]):
            assert torch.allclose(together[row], said(model)[row], atol=1e-4)
    assert torch.allclose(together[2], before[2], atol=1e-5)


def test_products_of_some_blocks_added_to_the_weights_say_the_same(wrapped):
    model, _, adapters = wrapped
    with adapters.on(torch.tensor([[True, False, True]])):
        wanted = said(model)
    added = adapters.products()
    columns = torch.tensor([0, 1, 4, 5])
    some = {name: type(pair)(pair.left[:, columns], pair.right[columns]) for name, pair in added.items()}
    plain = adapters.remove(model)
    assert adapters_of(plain) is None
    add_products(plain, some, torch.float32)
    assert torch.allclose(said(plain), wanted, atol=1e-4)
    assert set(factors_of(added)) == {f"{name}{end}" for name in added for end in (".left", ".right")}


def test_only_the_blocks_are_trained(wrapped):
    model, _, _ = wrapped
    trained = {name.rpartition(".")[2] for name, weight in model.named_parameters() if weight.requires_grad}
    assert trained == {"left", "right"}


def test_subsets_are_of_every_share(wrapped):
    _, _, adapters = wrapped
    drawn = adapters.subsets(4000)
    counts = drawn.sum(1).bincount(minlength=4) / 4000
    assert drawn.shape == (4000, 3)
    assert counts.tolist() == pytest.approx([0.25] * 4, abs=0.04)  # uniform shares make uniform counts


def test_a_model_with_all_blocks_answers_as_a_copy_with_some_while_asked_to(wrapped):
    model, _, adapters = wrapped
    with adapters.on(torch.tensor([[True, False, True]])):
        wanted = said(model)
    added = adapters.products()
    assert products_of(factors_of(added)).keys() == added.keys()
    every = adapters.remove(model)
    add_products(every, added, torch.float32)
    whole = said(every)
    with without_ranks(every, products_of(factors_of(added)), torch.tensor([False, False, True, True, False, False])):
        assert torch.allclose(said(every), wanted, atol=1e-4)
    assert torch.equal(said(every), whole)
    assert not torch.allclose(whole, wanted, atol=1e-2)
