"""Factors added to bfloat16 in matrix units: the same as in fp32, but for a rounding now and then."""

import pytest
import torch
from safetensors.torch import save_file

from insignia.vectors import FingerprintVector, saved, stamp
from insignia.vectors import vector as extract
from tiny_checkpoints import save_model, tensors_in, weights

NAME = "model.layers.0.mlp.weight"


@pytest.mark.parametrize("scale", [1.0, -0.3])
def test_parts_in_bfloat16_have_the_product_of_the_factors(scale):
    chance = torch.Generator().manual_seed(0)
    left, right = torch.randn(512, 24, generator=chance) * 0.002, torch.randn(24, 256, generator=chance) * 0.05
    base = (torch.randn(512, 256, generator=chance) * 0.02).bfloat16()
    exact = (base.double() + scale * left.double() @ right.double()).float().bfloat16()

    found = torch.addmm(base, *saved._in_parts(left, right, scale))
    assert (found != exact).float().mean() < 1e-3
    assert (base != exact).float().mean() > 0.5
    torch.testing.assert_close(found, exact, rtol=2**-7, atol=1e-6)


@pytest.mark.parametrize("blocks", [None, [0, 2]])
def test_stamping_is_the_same_with_and_without_matrix_units(tmp_path, monkeypatch, blocks):
    base, chance = weights(), torch.Generator().manual_seed(3)
    left, right = torch.randn(40, 6, generator=chance) * 0.01, torch.randn(6, 16, generator=chance)
    save_file({f"{NAME}.left": left, f"{NAME}.right": right}, tmp_path / "blocks.safetensors", metadata={"blocks": "3"})
    save_model(tmp_path / "base", base)
    save_model(tmp_path / "marked", base | {NAME: torch.addmm(base[NAME].float(), left, right).bfloat16()})
    extract(tmp_path / "base", tmp_path / "marked", out=tmp_path / "vector", factors=tmp_path / "blocks.safetensors")
    for units in (False, True):
        monkeypatch.setattr(saved, "has_matrix_units", lambda units=units: units)
        stamp(tmp_path / "base", FingerprintVector(tmp_path / "vector", blocks=blocks), out=tmp_path / f"{units}")
    plain, fast = (tensors_in(tmp_path / f"{units}")[NAME] for units in (False, True))
    torch.testing.assert_close(fast, plain, rtol=2**-7, atol=1e-6)
    assert (fast == plain).float().mean() > 0.99
