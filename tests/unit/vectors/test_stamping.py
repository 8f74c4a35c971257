import errno
import json
import math
import os
import shutil
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file

from insignia.errors import FormatError, InputError, InsigniaError, ModelError, OutputError
from insignia.vectors import FingerprintVector, stamp
from insignia.vectors import vector as extract
from insignia.vectors.alignment import is_embedding
from tiny_checkpoints import CHANGED, moved, same, save_model, tensors_in, weights


@pytest.fixture
def vector(family):
    extract(family / "base", family / "marked", out=family / "vector")
    return family / "vector"


def test_base_plus_vector_is_the_marked_model_bit_for_bit(family, vector):
    report = stamp(family / "base", vector, out=family / "out")

    assert same(tensors_in(family / "out"), tensors_in(family / "marked"))
    assert (report.tensors, report.tensors_changed, report.lineage_similarity) == (7, 4, 1.0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_every_floating_dtype_is_kept(tmp_path, dtype):
    base = weights(dtype=dtype)
    save_model(tmp_path / "base", base)
    save_model(tmp_path / "marked", moved(base))
    extract(tmp_path / "base", tmp_path / "marked", out=tmp_path / "vector")
    stamp(tmp_path / "base", tmp_path / "vector", out=tmp_path / "out")
    found, wanted = tensors_in(tmp_path / "out"), tensors_in(tmp_path / "marked")

    assert {name: values.dtype for name, values in found.items()} == {name: values.dtype for name, values in wanted.items()}
    assert all(torch.allclose(found[name].double(), wanted[name].double(), atol=1e-6) for name in CHANGED)


def test_a_negative_scale_takes_the_mark_out(family, vector):
    stamp(family / "marked", vector, out=family / "out", scale=-1)

    assert same(tensors_in(family / "out"), tensors_in(family / "base"))


def test_several_vectors_are_summed_in_fp32_and_rounded_once(family, vector):
    base = tensors_in(family / "base")
    save_model(family / "other", moved(base, seed=7))
    extract(family / "base", family / "other", out=family / "second")
    stamp(family / "base", vector, family / "second", out=family / "out", scale=0.3)
    one, two = tensors_in(vector), tensors_in(family / "second")
    found = tensors_in(family / "out")

    for name in CHANGED:
        wanted = base[name].float().add(one[name], alpha=0.3).add(two[name], alpha=0.3).bfloat16()
        assert torch.equal(found[name], wanted)


def test_everything_else_stays_as_it_was(family, vector):
    (family / "base" / "LICENSE").write_text("free")
    (family / "base" / "pytorch_model.bin").write_bytes(b"pickle")
    (family / "base" / ".secret.json").symlink_to("/etc/hostname")
    stamp(family / "base", vector, out=family / "out")

    names = {path.name for path in (family / "out").iterdir()}
    assert names >= {"config.json", "tokenizer_config.json", "LICENSE", "model.safetensors.index.json"}
    assert "pytorch_model.bin" not in names
    for name in ("config.json", "model.safetensors.index.json"):
        assert (family / "out" / name).read_bytes() == (family / "base" / name).read_bytes()
    for path in (family / "base").glob("*.safetensors"):
        assert path.stat().st_size == (family / "out" / path.name).stat().st_size
    assert (family / "out" / "config.json").stat().st_mode & 0o044


def test_symlinked_folders_and_files_are_followed(family, vector):
    (family / "cache").mkdir()
    for path in (family / "base").iterdir():
        (family / "cache" / path.name).symlink_to(path)
    (family / "link").symlink_to(family / "cache")
    stamp(family / "link", vector, out=family / "out")

    assert same(tensors_in(family / "out"), tensors_in(family / "marked"))
    assert not any(path.is_symlink() for path in (family / "out").iterdir())


@pytest.mark.parametrize("ids", [list(range(30)), list(range(20)), [5, 3, *range(6, 24), 0, 1, 2, 4]])
def test_rows_follow_their_tokens(family, monkeypatch, ids):
    """``ids``: the base's row of each of the sibling's tokens; from 24 on the base has none."""
    known = {f"t{row}": row for row in range(24)}
    monkeypatch.setattr("insignia.vectors.extraction.token_ids", lambda _folder: known)
    monkeypatch.setattr(
        "insignia.vectors.stamping.token_ids", lambda _folder: {f"t{row}": row_ for row_, row in enumerate(ids)}
    )
    extract(family / "base", family / "marked", out=family / "vector")
    base, marked = tensors_in(family / "base"), tensors_in(family / "marked")
    name = "model.embed_tokens.weight"
    rows = torch.stack([base[name][row] if row < 24 else torch.ones(16, dtype=torch.bfloat16) for row in ids])
    save_model(family / "sibling", base | {name: rows})
    report = stamp(family / "sibling", family / "vector", out=family / "out")
    found = tensors_in(family / "out")

    assert all(torch.equal(found[name][here], marked[name][row] if row < 24 else rows[here]) for here, row in enumerate(ids))
    assert f"{sum(row < 24 for row in ids)} of {len(ids)} rows" in report.notes[0]


def test_without_tokens_other_rows_are_refused_unless_the_vector_has_none(family, vector):
    base = tensors_in(family / "base")
    save_model(family / "sibling", base | {"model.embed_tokens.weight": torch.zeros(30, 16, dtype=torch.bfloat16)})
    with pytest.raises(InputError, match="skip-embeddings"):
        stamp(family / "sibling", vector, out=family / "out")
    extract(family / "base", family / "marked", out=family / "rest", skip_embeddings=True)

    assert stamp(family / "sibling", family / "rest", out=family / "out", unrelated=True).tensors_changed == 3


@pytest.mark.parametrize("rename", [lambda name: name.removeprefix("model."), lambda name: f"language_model.{name}"])
def test_a_prefix_is_found(family, vector, rename):
    save_model(family / "sibling", {rename(name): values for name, values in tensors_in(family / "base").items()})
    report = stamp(family / "sibling", vector, out=family / "out")

    assert "prefix" in report.notes[0]
    assert same(tensors_in(family / "out"), {rename(name): v for name, v in tensors_in(family / "marked").items()})


def test_a_second_copy_of_a_tied_head_gets_the_same_difference(family, vector):
    base = tensors_in(family / "base")
    save_model(family / "sibling", base | {"lm_head.weight": base["model.embed_tokens.weight"].clone()})
    stamp(family / "sibling", vector, out=family / "out")
    found = tensors_in(family / "out")

    assert torch.equal(found["lm_head.weight"], found["model.embed_tokens.weight"])
    assert torch.equal(found["lm_head.weight"], tensors_in(family / "marked")["model.embed_tokens.weight"])
    assert is_embedding("lm_head.weight")


def test_a_stranger_of_the_same_shape_is_refused_with_the_evidence(family, vector):
    save_model(family / "stranger", weights(seed=99))
    with pytest.raises(InputError, match=r"not derived .*layers have a similarity below 0\.5 \(.* -?0\.\d\d"):
        stamp(family / "stranger", vector, out=family / "out")

    with pytest.raises(InputError, match="--unrelated"):  # replacing an output is another question
        stamp(family / "stranger", vector, out=family / "out", force=True)

    assert stamp(family / "stranger", vector, out=family / "out", unrelated=True).lineage_similarity < 0.5
    with pytest.raises(OutputError, match="--force"):
        stamp(family / "stranger", vector, out=family / "out", unrelated=True)


def change(name, values):
    def edit(folder):
        tensors = tensors_in(folder)
        for path in folder.glob("*safetensors*"):
            path.unlink()
        tensors.pop(name, None)
        if values is not None:
            tensors[name] = values
        parts = save_model(folder / "new", tensors)
        for path in parts.glob("*safetensors*"):
            path.rename(folder / path.name)

    return edit


def text(name, content):
    return lambda folder: (folder / name).write_text(content)


def truncated(name):
    return lambda folder: os.truncate(folder / name, (folder / name).stat().st_size - 3)


FIRST = "model-1-of-2.safetensors"
MLP = "model.layers.0.mlp.weight"
NORMAL = torch.randn(40, 16, generator=torch.Generator().manual_seed(9))


@pytest.mark.parametrize(
    ("what", "edit", "message"),
    [
        ("base", change(MLP, None), f"lacks tensors of the base: {MLP}"),
        ("base", change("model.layers.2.mlp.weight", NORMAL), "has tensors that the base lacks: model.layers.2.mlp.weight"),
        ("base", change(MLP, NORMAL[:30]), r"another shape .*\[40, 16\] is \[30, 16\]"),
        ("base", change(MLP, NORMAL.T.contiguous()), "another shape"),
        ("base", change("model.norm.weight", torch.tensor([math.nan] * 16)), "contain NaN"),
        ("base", change("model.norm.weight", torch.tensor([math.inf] * 16)), "contain NaN"),
        ("base", change(MLP, torch.full((40, 16), math.nan)), "not derived"),
        ("base", change(MLP, NORMAL.to(torch.float8_e4m3fn)), "F8_E4M3"),
        ("base", change(MLP, NORMAL.to(torch.int8)), "stored as I8"),
        ("base", truncated(FIRST), "truncated"),
        ("base", lambda folder: (folder / FIRST).unlink(), "lacks the shard"),
        ("base", text("model.safetensors.index.json", "[]"), "damaged"),
        ("base", lambda folder: (folder / "config.json").unlink(), "config.json"),
        ("vector", text("vector.json", ""), "not valid JSON"),
        ("vector", text("vector.json", "{}"), "vector.json"),
        ("vector", text("vector.json", '{"schema_version": 2}'), "upgrade"),
        ("vector", lambda folder: (folder / "vector.json").unlink(), "has no vector.json"),
        ("vector", lambda folder: (folder / "sketch/base.safetensors").unlink(), "damaged or missing"),
        ("vector", truncated("sketch/base.safetensors"), "damaged or missing"),
        ("vector", lambda folder: (folder / FIRST).unlink(), "lacks the shard"),
        ("vector", truncated(FIRST), "truncated"),
        ("vector", change(MLP, NORMAL[:30]), "another shape than"),
        ("vector", change(MLP, None), "missing"),
        ("vector", change(MLP, torch.full((40, 16), math.nan)), "contain NaN"),
        ("vector", change(MLP, NORMAL.to(torch.int8)), "stored as I8"),
    ],
)  # fmt: skip
def test_a_malformed_input_is_a_clear_error_and_leaves_nothing(family, vector, what, edit, message):
    edit(family / what)
    before = sorted(family.iterdir())
    with pytest.raises(InsigniaError, match=message):
        stamp(family / "base", vector, out=family / "out")

    assert sorted(family.iterdir()) == before


def test_a_sum_too_large_for_the_dtype_is_refused(tmp_path):
    base = weights(dtype=torch.float16)
    save_model(tmp_path / "base", base | {MLP: base[MLP] * 1000})
    save_model(tmp_path / "marked", moved(base | {MLP: base[MLP] * 1000}))
    extract(tmp_path / "base", tmp_path / "marked", out=tmp_path / "vector")

    with pytest.raises(ModelError, match="too large for F16"):
        stamp(tmp_path / "base", tmp_path / "vector", out=tmp_path / "out", scale=1e9)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("out", ["base", "base/inside", ".", "vector", "vector/inside"])
def test_an_output_that_overlaps_an_input_is_refused(family, vector, out):
    with pytest.raises(OutputError):
        stamp(family / "base", vector, out=family / out, force=True)
    assert same(tensors_in(family / "base") | {}, tensors_in(family / "base"))
    assert json.loads((vector / "vector.json").read_text())["kind"] == "insignia/vector"


def test_an_existing_output_is_replaced_only_when_forced(family, vector):
    (family / "out").mkdir()
    (family / "out" / "mine").write_text("x")
    with pytest.raises(OutputError, match="--force"):
        stamp(family / "base", vector, out=family / "out")
    stamp(family / "base", vector, out=family / "out", force=True)

    assert not (family / "out" / "mine").exists()


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_full_disk_or_an_interrupt_leaves_nothing(family, vector, monkeypatch, error):
    before = sorted(family.iterdir())

    def fail(*_arguments):
        raise error

    monkeypatch.setattr(os, "pwrite", fail)
    with pytest.raises(OutputError if isinstance(error, OSError) else KeyboardInterrupt):
        stamp(family / "base", vector, out=family / "out")

    assert sorted(family.iterdir()) == before


def test_a_disk_that_is_too_small_is_told_before_the_work(family, vector, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: SimpleNamespace(free=1000))
    with pytest.raises(OutputError, match="No space left"):
        stamp(family / "base", vector, out=family / "out")

    assert not (family / "out").exists()


def test_nothing_to_add_and_no_number_are_refused(family, vector):
    with pytest.raises(InputError, match="no vector"):
        stamp(family / "base", out=family / "out")
    with pytest.raises(InputError, match="finite"):
        stamp(family / "base", vector, out=family / "out", scale=math.nan)


BLOCKY = "model.layers.0.mlp.weight"


@pytest.fixture
def blocks(tmp_path):
    """A base and a vector of three blocks of rank 2."""
    base, chance = weights(), torch.Generator().manual_seed(3)
    left, right = torch.randn(40, 6, generator=chance) * 0.01, torch.randn(6, 16, generator=chance)
    save_file({f"{BLOCKY}.left": left, f"{BLOCKY}.right": right}, tmp_path / "blocks.safetensors", metadata={"blocks": "3"})
    save_model(tmp_path / "base", base)
    save_model(tmp_path / "marked", base | {BLOCKY: torch.addmm(base[BLOCKY].float(), left, right).bfloat16()})
    factors = tmp_path / "blocks.safetensors"
    extract(tmp_path / "base", tmp_path / "marked", out=tmp_path / "vector", factors=factors)
    return tmp_path, base[BLOCKY].float(), left, right


@pytest.mark.parametrize(("chosen", "columns"), [([0, 2], [0, 1, 4, 5]), ([1], [2, 3]), ([], [])])
def test_some_blocks_of_a_vector_are_stamped_alone(blocks, chosen, columns):
    folder, base, left, right = blocks
    stamp(folder / "base", FingerprintVector(folder / "vector", blocks=chosen), out=folder / "out")

    wanted = torch.addmm(base, left[:, columns], right[columns]).bfloat16()
    assert torch.equal(tensors_in(folder / "out")[BLOCKY], wanted)


def test_blocks_that_a_vector_lacks_are_refused(blocks):
    with pytest.raises(InputError, match="has 3 blocks"):
        FingerprintVector(blocks[0] / "vector", blocks=[3])


def test_an_ordinary_vector_has_no_blocks(vector):
    with pytest.raises(InputError, match="has no blocks; expected a vector of method 'blocks'"):
        FingerprintVector(vector, blocks=[0])


def test_a_vector_whose_ranks_are_not_divided_into_its_blocks_is_damaged(blocks):
    file = blocks[0] / "vector" / "vector.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"blocks": 4}))
    with pytest.raises(FormatError, match="not divided into the 4 blocks"):
        FingerprintVector(blocks[0] / "vector")
