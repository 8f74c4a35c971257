import json
import math

import pytest
import torch
from blake3 import blake3
from safetensors.torch import save_file

from insignia.errors import FormatError, InputError, ModelError, OutputError
from insignia.vectors import stamp
from insignia.vectors import vector as extract
from insignia.vectors.factors import factorise
from tiny_checkpoints import CHANGED, bits, moved, same, save_model, tensors_in, weights


def test_a_vector_holds_what_changed_and_says_what_it_is(family):
    report = extract(family / "base", family / "marked", out=family / "vector")
    base, marked, stored = (tensors_in(family / name) for name in ("base", "marked", "vector"))
    file = json.loads((family / "vector" / "vector.json").read_text())

    assert stored.keys() == set(CHANGED)
    assert all(torch.equal(stored[name], marked[name].float() - base[name].float()) for name in CHANGED)
    for name, tensor in file["tensors"].items():
        assert tensor["base"] == f"blake3:{blake3(bits(base[name]).numpy().tobytes()).hexdigest()}"
        assert tensor["marked"] == f"blake3:{blake3(bits(marked[name]).numpy().tobytes()).hexdigest()}"
        assert tensor["shape"] == list(base[name].shape)
    squares = {name: float((stored[name].double() ** 2).sum()) for name in CHANGED}
    assert file["layers"]["layer 0"] == pytest.approx(math.sqrt(squares["model.layers.0.mlp.weight"]))
    assert report.norm == pytest.approx(math.sqrt(sum(squares.values())))
    assert (report.tensors, report.tensors_changed, report.tensors_stored, report.energy_kept) == (7, 4, 4, 1.0)
    assert report.bytes == sum(path.stat().st_size for path in (family / "vector").glob("*.safetensors"))
    assert report.lineage_similarity > 0.99


def test_embeddings_are_left_out_on_request(family):
    extract(family / "base", family / "marked", out=family / "vector", skip_embeddings=True)

    assert tensors_in(family / "vector").keys() == set(CHANGED) - {"model.embed_tokens.weight"}


@pytest.mark.parametrize(("dtype", "step"), [("bfloat16", 2**-8), ("float16", 2**-11)])
def test_sixteen_bits_are_rounded_once(family, dtype, step):
    extract(family / "base", family / "marked", out=family / "vector", dtype=dtype)
    base, marked, stored = (tensors_in(family / name) for name in ("base", "marked", "vector"))

    for name in CHANGED:
        difference = marked[name].float() - base[name].float()
        assert torch.equal(stored[name], difference.to(stored[name].dtype))
        assert ((stored[name].float() - difference).abs() <= step * difference.abs() + 1e-7).all()


def test_a_difference_of_low_rank_is_kept_whole(tmp_path):
    base = weights(dtype=torch.float32)
    name = "model.layers.0.mlp.weight"
    step = 0.1 * torch.randn(40, 2, generator=torch.Generator().manual_seed(5)) @ torch.randn(2, 16)
    save_model(tmp_path / "base", base)
    save_model(tmp_path / "marked", base | {name: base[name] + step})
    report = extract(tmp_path / "base", tmp_path / "marked", out=tmp_path / "vector", rank=2)
    stamp(tmp_path / "base", tmp_path / "vector", out=tmp_path / "out")

    assert tensors_in(tmp_path / "vector").keys() == {f"{name}.left", f"{name}.right"}
    assert report.energy_kept == pytest.approx(1.0, abs=1e-5)
    assert torch.allclose(tensors_in(tmp_path / "out")[name], base[name] + step, atol=1e-5)


def test_a_vector_is_its_owners_alone(family):
    extract(family / "base", family / "marked", out=family / "made" / "vector")

    for path in (family / "made", *(family / "made").rglob("*")):
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path


def test_a_marked_model_of_another_base_is_refused_unless_that_is_meant(family):
    save_model(family / "stranger", weights(seed=99))
    with pytest.raises(InputError, match="not derived"):
        extract(family / "base", family / "stranger", out=family / "vector", force=True)

    assert extract(family / "base", family / "stranger", out=family / "vector", unrelated=True).norm > 0


NAME = "model.layers.0.mlp.weight"


@pytest.mark.parametrize("prefix", ["", "model."])
def test_known_factors_are_the_vector(tmp_path, prefix):
    """Named as in the marked model, whose names may have a prefix that the base's lack."""
    base = weights(dtype=torch.bfloat16)
    factors = {f"{NAME}.left": 0.01 * torch.randn(40, 2), f"{NAME}.right": torch.randn(2, 16)}
    save_file(factors, tmp_path / "factors.safetensors")
    marked = torch.addmm(base[NAME].float(), *factors.values()).to(torch.bfloat16)
    save_model(tmp_path / "base", {name.removeprefix(prefix): values for name, values in base.items()})
    save_model(tmp_path / "marked", base | {NAME: marked})
    factored = tmp_path / "factors.safetensors"
    report = extract(tmp_path / "base", tmp_path / "marked", out=tmp_path / "vector", factors=factored)
    stamp(tmp_path / "base", tmp_path / "vector", out=tmp_path / "out")

    assert same(tensors_in(tmp_path / "vector"), {name.removeprefix(prefix): values for name, values in factors.items()})
    assert 0.9 < report.energy_kept < 1.0  # the rest is rounding
    assert torch.equal(tensors_in(tmp_path / "out")[NAME.removeprefix(prefix)], marked)


@pytest.mark.parametrize(
    ("factors", "error", "message"),
    [
        (None, InputError, "there is no file"),
        ({}, FormatError, "no factors"),
        ({f"{NAME}.left": torch.ones(40, 2)}, FormatError, "no factors"),
        ({f"{NAME}.left": torch.ones(40, 2), f"{NAME}.right": torch.ones(3, 16)}, FormatError, "no factors"),
        ({"other.left": torch.ones(40, 2), "other.right": torch.ones(2, 16)}, InputError, "the marked model lacks"),
        ({f"{NAME}.left": torch.ones(39, 2), f"{NAME}.right": torch.ones(2, 16)}, InputError, "another shape"),
        ({f"{NAME}.left": torch.full((40, 2), math.nan), f"{NAME}.right": torch.ones(2, 16)}, FormatError, "no factors"),
        ({f"{NAME}.left": torch.ones(40, 2), f"{NAME}.right": torch.ones(2, 16)}, InputError, "owner weights of another model"),
    ],
)
def test_factors_of_something_else_are_refused(tmp_path, factors, error, message):
    base = weights(dtype=torch.float32)
    save_model(tmp_path / "base", base)
    save_model(tmp_path / "marked", base | {NAME: base[NAME] + 0.01 * torch.randn(40, 16)})
    if factors is not None:
        save_file(factors, tmp_path / "factors.safetensors")
    factored = tmp_path / "factors.safetensors"
    with pytest.raises(error, match=message):
        extract(tmp_path / "base", tmp_path / "marked", out=tmp_path / "vector", factors=factored)
    assert not (tmp_path / "vector").exists()


def test_a_rank_that_saves_nothing_is_not_used(family):
    extract(family / "base", family / "marked", out=family / "vector", rank=16)
    stamp(family / "base", family / "vector", out=family / "out")

    assert same(tensors_in(family / "out"), tensors_in(family / "marked"))


@pytest.mark.parametrize("rank", [1, 3, 10])
def test_factors_keep_nearly_what_the_best_approximation_keeps(rank):
    matrix = torch.randn(50, 30, generator=torch.Generator().manual_seed(2)) * torch.linspace(3, 0.1, 30)
    found = factorise(lambda: ((first, matrix[first : first + 7]) for first in range(0, 50, 7)), 50, 30, rank)
    values = torch.linalg.svdvals(matrix)
    error = (found.left @ found.right - matrix).norm() ** 2

    assert found.kept == pytest.approx(float((values[:rank] ** 2).sum()), rel=5e-3)
    assert float(error) == pytest.approx(float((values[rank:] ** 2).sum()), rel=1e-2)
    assert found.square == pytest.approx(float(matrix.norm() ** 2), rel=1e-5)


def test_models_of_two_dtypes_are_subtracted_too(family):
    marked = tensors_in(family / "marked")
    save_model(family / "wide", {name: v.float() if v.is_floating_point() else v for name, v in marked.items()})
    extract(family / "base", family / "wide", out=family / "vector")
    stamp(family / "base", family / "vector", out=family / "out")

    assert same(tensors_in(family / "out"), marked)


BASE = weights()
MLP = "model.layers.0.mlp.weight"


@pytest.mark.parametrize(
    ("marked", "options", "message"),
    [
        (BASE, {}, "are equal"),
        (moved(BASE, names=["model.embed_tokens.weight"]), {"skip_embeddings": True}, "are equal"),
        (moved(BASE), {"dtype": "int8"}, "unknown dtype"),
        (moved(BASE), {"rank": 0}, "at least 1"),
        ({name: values for name, values in BASE.items() if name != MLP}, {}, f"lacks tensors of the base: {MLP}"),
        (BASE | {"more": torch.ones(2)}, {}, "has tensors that the base lacks: more"),
        (BASE | {MLP: BASE[MLP][:30]}, {}, r"\[40, 16\] in the base but \[30, 16\]"),
        (BASE | {"model.counts": torch.arange(5) + 1}, {}, "stored as I64"),
        (BASE | {MLP: torch.full((40, 16), math.nan).bfloat16()}, {"unrelated": True}, "contains NaN"),
        (BASE | {MLP: torch.full((40, 16), math.inf).bfloat16()}, {"unrelated": True, "rank": 1}, "contains NaN"),
        (BASE | {MLP: BASE[MLP] * 1e6}, {"dtype": "float16"}, "too large for its dtype"),
        (weights(seed=3), {}, "not derived from the base"),
    ],
)
def test_what_cannot_be_a_vector_is_refused_and_nothing_is_left(tmp_path, marked, options, message):
    save_model(tmp_path / "base", BASE)
    save_model(tmp_path / "marked", marked)
    before = sorted(tmp_path.iterdir())
    with pytest.raises((InputError, ModelError), match=message):
        extract(tmp_path / "base", tmp_path / "marked", out=tmp_path / "vector", **options)

    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("out", ["base", "marked/inside", "."])
def test_an_output_that_overlaps_an_input_is_refused(family, out):
    with pytest.raises(OutputError):
        extract(family / "base", family / "marked", out=family / out, force=True)
