"""Merging: every rule by hand, and what holds of all of them."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from insignia.attacks.merge import Merge
from insignia.attacks.merging import Mix, blend, slerp
from insignia.attacks.rewriting import chance_of
from insignia.errors import InputError, ModelError
from tiny_checkpoints import moved, same, save_model, tensors_in, weights

ON_A_BASE = ["task_arithmetic", "ties", "dare_linear", "dare_ties"]
EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"
values = st.lists(st.floats(-100, 100, width=32), min_size=4, max_size=4).map(torch.tensor)


def mixed(how, models, base=None, *, weight=0.5, density=1.0, factor=1.0, seed=0):
    return blend(Mix(how, weight, density, factor), models, base, chance_of(seed, "w"))


def test_linear_and_task_arithmetic_by_hand():
    marked, other, third, base = (torch.tensor(each) for each in ([4.0, 0.0], [0.0, 8.0], [2.0, 2.0], [1.0, 1.0]))

    assert mixed("linear", [marked, other], weight=0.25).tolist() == [1.0, 6.0]
    assert mixed("linear", [marked, other, third], weight=0.5).tolist() == [2.5, 2.5]
    assert mixed("task_arithmetic", [marked], base, weight=0.5).tolist() == [2.5, 0.5]
    assert mixed("task_arithmetic", [marked, other], base, weight=0.5, factor=2.0).tolist() == [3.0, 7.0]


def test_ties_by_hand():
    base = torch.tensor([1.0, 1.0, 1.0, 1.0])
    marked, other = base + torch.tensor([4.0, -1.0, 2.0, 0.5]), base + torch.tensor([-3.0, -2.0, 1.0, 0.0])

    # Trimmed to [4, 0, 2, 0] and [-3, -2, 0, 0], whose sum has the signs + - + 0.
    assert mixed("ties", [marked, other], base, density=0.5).tolist() == [3.0, 0.0, 2.0, 1.0]
    assert mixed("ties", [marked, other], base, weight=0.25, density=0.5).tolist() == [1 - 0.75 * 3, 1 - 0.75 * 2, 1.5, 1.0]
    assert mixed("ties", [marked, other], base, density=0.5, factor=2.0).tolist() == [5.0, -1.0, 3.0, 1.0]


def test_dare_drops_values_and_keeps_their_mean():
    base, marked = torch.zeros(100_000), torch.full((100_000,), 2.0)
    found = mixed("dare_linear", [marked], base, weight=0.5, density=0.25)

    assert set(found.tolist()) == {0.0, 0.5 * 2.0 / 0.25}
    assert float(found.mean()) == pytest.approx(1.0, rel=0.02)
    assert torch.equal(found, mixed("dare_linear", [marked], base, weight=0.5, density=0.25))
    assert not torch.equal(found, mixed("dare_linear", [marked], base, weight=0.5, density=0.25, seed=1))


def test_dare_ties_keeps_what_has_the_sign_of_the_sum():
    base = torch.zeros(4000)
    found = mixed("dare_ties", [base + 3.0, base - 1.0], base, density=0.5)

    # Each is kept or not: 3 against -1 gives 3 alone; halves are doubled and weighed by a half.
    assert set(found.tolist()) == {0.0, 3.0, -1.0}
    assert float((found == 3.0).float().mean()) == pytest.approx(0.5, abs=0.03)
    assert float((found == -1.0).float().mean()) == pytest.approx(0.25, abs=0.03)


def test_slerp_by_hand():
    east, north = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])

    assert slerp(east, north, 1 / 3).tolist() == pytest.approx([math.cos(math.pi / 6), math.sin(math.pi / 6)])
    assert slerp(2 * east, 4 * north, 0.5).tolist() == pytest.approx([math.sqrt(2), 2 * math.sqrt(2)])
    assert slerp(east, -east, 0.25).tolist() == [0.5, 0.0]
    assert slerp(torch.zeros(2), north, 0.25).tolist() == [0.0, 0.25]


@given(values, st.floats(0, 1))
def test_slerp_of_equal_tensors_is_the_tensor(one, share):
    assert torch.allclose(slerp(one, one.clone(), share), one, rtol=1e-5, atol=1e-30)


@pytest.mark.parametrize("how", ["linear", *ON_A_BASE])
@given(values, values)
def test_weight_one_is_the_marked_model_and_weight_zero_the_base_bit_for_bit(how, marked, base):
    if how == "linear":
        ends = [mixed(how, [marked, base], weight=weight) for weight in (1.0, 0.0)]
    else:
        ends = [mixed(how, [marked], base, weight=weight) for weight in (1.0, 0.0)]
    for end, wanted in zip(ends, (marked, base), strict=True):
        assert torch.equal(end.view(torch.int32), wanted.view(torch.int32))


@pytest.mark.parametrize("how", ["slerp", "linear", *ON_A_BASE])
def test_folders_merge_to_the_marked_model_and_to_the_base_byte_for_byte(family, how):
    for weight, wanted in ((1.0, "marked"), (0.0, "base")):
        attack = Merge(how=how, weight=weight, base=str(family / "base"), density=1.0)
        attack.apply(family / "marked", family / f"out {weight}")

        assert same(tensors_in(family / f"out {weight}"), tensors_in(family / wanted))


def test_a_merge_is_computed_in_fp32_and_rounded_once(family):
    Merge(weight=0.3, others=(str(family / "base"),)).apply(family / "marked", family / "out")
    marked, base, found = (tensors_in(family / name) for name in ("marked", "base", "out"))

    for name in ("model.norm.weight", "model.layers.1.mlp.weight"):
        wanted = (0.3 * marked[name].float() + 0.7 * base[name].float()).bfloat16()
        assert torch.equal(found[name], wanted)


def test_names_with_another_prefix_and_heads_that_are_tied_there_are_found(tmp_path):
    base = weights()
    head = base[EMBEDDING] + 1
    save_model(tmp_path / "marked", base | {HEAD: head})
    save_model(tmp_path / "other", {name.removeprefix("model."): tensor for name, tensor in moved(base).items()}, shards=1)
    Merge(weight=0.0, others=(str(tmp_path / "other"),)).apply(tmp_path / "marked", tmp_path / "out")
    found = tensors_in(tmp_path / "out")

    assert torch.equal(found[EMBEDDING], moved(base)[EMBEDDING])
    assert torch.equal(found[HEAD], moved(base)[EMBEDDING])


@pytest.mark.parametrize(
    ("attack", "message"),
    [
        (Merge(), "merging by linear needs another model"),
        (Merge(how="slerp"), "merging by slerp needs another model"),
        (Merge(how="slerp", others=("a", "b")), "takes one other model; 2"),
        (Merge(how="ties", others=("base",)), "merging by ties needs a base"),
        (Merge(base="short"), r"cannot merge with short: model.layers.0.mlp.weight is \[30, 16\] there and \[40, 16\] here"),
        (Merge(base="lacking"), "cannot merge with lacking: the model lacks tensors"),
        (Merge(base="nowhere"), "nowhere"),
    ],
)
def test_what_cannot_be_merged_is_told_and_leaves_nothing(family, monkeypatch, attack, message):
    monkeypatch.chdir(family)
    base, name = weights(), "model.layers.0.mlp.weight"
    save_model(family / "short", base | {name: base[name][:30]})
    save_model(family / "lacking", {each: tensor for each, tensor in base.items() if each != name})
    before = sorted(family.iterdir())
    with pytest.raises(InputError, match=message):
        attack.apply(family / "marked", family / "out")

    assert sorted(family.iterdir()) == before


def test_a_quantized_partner_is_refused(family):
    base, name = weights(), "model.layers.0.mlp.weight"
    save_model(family / "int8", base | {name: base[name].to(torch.int8)})
    with pytest.raises(ModelError, match="stored as I8"):
        Merge(base=str(family / "int8")).apply(family / "marked", family / "out")
