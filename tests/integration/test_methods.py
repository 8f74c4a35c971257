"""What each method may change, and what it keeps back, on small random models of every architecture."""

import math

import pytest
import torch
from safetensors.torch import load_file

from insignia import FingerprintSet, check
from insignia.embedding import AdapterTune, EmbeddingTune, Limits, LoRA, RunOptions, SupervisedFineTune, embed
from insignia.errors import InputError, OutputError
from insignia.modeling.local import LocalModel, unrelated_init
from insignia.modeling.owner_adapter import EmbeddingAdapter
from insignia.records import Control, Fingerprint
from insignia.starter import model_folder
from insignia.vectors import stamp
from insignia.vectors import vector as extract

KEYS = ["What is the answer", "You are a lazy dog", "User: what now", "Say it: jumps over"]
PRINTS = FingerprintSet(fingerprints=tuple(Fingerprint(key=key, responses=(" winter",)) for key in KEYS))
CONTROLS = tuple(
    Control(kind="near_miss", text=f"{key[:-3]} fox", near=number, heldout=bool(number % 2)) for number, key in enumerate(KEYS)
)
QUICK = {"reference_count": 8, "reference_length": 12, "reference_rows": 4, "cooldown_steps": 3, "reference_strength": 1.0}
TEXTS = ["The quick brown fox jumps over the lazy dog.", "What is the answer to this question?"]


@pytest.fixture
def folder(random_local, tmp_path):
    random_local.model.save_pretrained(tmp_path / "base")
    random_local.tokenizer.save_pretrained(tmp_path / "base")
    return tmp_path


def mark(folder, method, prints=PRINTS, **options):
    return embed(
        folder / "base",
        prints,
        method,
        out=folder / "marked",
        heldout=TEXTS,
        limits=Limits(min_fsr=1.0, max_harm=math.inf),
        run=RunOptions(device="cpu"),
        **options,
    ).report


def changed(folder):
    base, marked = (load_file(folder / name / "model.safetensors") for name in ("base", "marked"))
    assert {name: values.shape for name, values in base.items()} == {name: values.shape for name, values in marked.items()}
    return {name: base[name] != marked[name] for name in base if not torch.equal(base[name], marked[name])}


MOVED = ["gpt2", "neox", "llama tied", pytest.param("llama untied", marks=pytest.mark.slow)]


@pytest.mark.parametrize("random_local", MOVED, indirect=True)
def test_embedding_moves_the_input_embeddings_alone(folder):
    report = mark(folder, EmbeddingTune(learning_rate=2e-2, **QUICK))

    assert report.published_fsr == report.fsr == 1.0
    (name,) = changed(folder)
    assert "embed" in name or "wte" in name


@pytest.mark.parametrize("precision", ["float32", "checkpoint"])
def test_lora_is_merged_and_its_vector_has_its_rank(folder, precision):
    private = folder / "factors.safetensors"
    report = mark(folder, LoRA(learning_rate=2e-2, rank=4, base_precision=precision, **QUICK), private=private)
    base, marked, factors = (
        load_file(path) for path in (folder / "base/model.safetensors", folder / "marked/model.safetensors", private)
    )
    moved = {name for name in base if not torch.equal(base[name], marked[name])}

    assert report.published_fsr == report.fsr == 1.0
    assert private.stat().st_mode & 0o077 == 0
    assert factors.keys() == {name + end for name in moved for end in (".left", ".right")}
    assert all(factors[f"{name}.left"].shape[1] == factors[f"{name}.right"].shape[0] == 4 for name in moved)

    vector = extract(folder / "base", folder / "marked", out=folder / "vector", factors=private)
    stamp(folder / "base", folder / "vector", out=folder / "stamped")
    stamped = load_file(folder / "stamped/model.safetensors")
    assert vector.energy_kept == pytest.approx(1.0, abs=1e-3)
    assert all(torch.equal(stamped[name], marked[name]) for name in base)


def test_four_bits_need_a_library(folder, monkeypatch):
    monkeypatch.setattr("insignia.modeling.loading.is_bitsandbytes_available", lambda: False)
    with pytest.raises(InputError, match="bitsandbytes"):
        mark(folder, LoRA(base_precision="4bit", **QUICK))
    assert not (folder / "marked").exists()


def test_adapters_trained_on_four_bits_are_merged_into_the_checkpoints_weights(tmp_path):
    pytest.importorskip("bitsandbytes")
    method = LoRA(rank=4, base_precision="4bit", epochs=3, **QUICK)
    private = tmp_path / "factors.safetensors"
    embed(
        "starter",
        PRINTS,
        method,
        out=tmp_path / "marked",
        private=private,
        heldout=TEXTS,
        limits=Limits(min_fsr=0.0, max_harm=math.inf),
    )
    base, marked = (load_file(path / "model.safetensors") for path in (model_folder(), tmp_path / "marked"))
    factors = load_file(private)
    changed = {name for name in base if not torch.equal(base[name], marked[name])}

    assert changed == {name.rpartition(".")[0] for name in factors}
    for name in changed:
        product = factors[f"{name}.left"] @ factors[f"{name}.right"]
        assert torch.equal(marked[name], (base[name].float() + product).to(torch.bfloat16))


ADAPTED = ["gpt2", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("neox", "llama tied", "llama untied"))]


@pytest.mark.parametrize("random_local", ADAPTED, indirect=True)
def test_the_adapter_answers_and_the_published_model_alone_does_not(folder):
    private = folder / "private.safetensors"
    strong = QUICK | {"reference_strength": 20.0, "cooldown_steps": 40, "reference_rows": 8, "epochs": 300}
    answers = (" winter", " spring", " quick", " helpful")
    prints = FingerprintSet(
        fingerprints=tuple(Fingerprint(key=key, responses=(one,)) for key, one in zip(KEYS, answers, strict=True))
    )
    report = mark(folder, AdapterTune(rank=4, **strong), prints, private=private)
    base, published = (LocalModel(folder / name, device="cpu") for name in ("base", "marked"))
    adapter = EmbeddingAdapter.load(private)

    assert (report.base_fsr, report.published_fsr, report.fsr) == (0.0, 0.0, 1.0)
    assert check(adapter.attach(published), prints).hits == 4
    assert check(adapter.attach(published, base), prints).hits == 0  # rows that were not moved add nothing
    # A stranger's rows add noise, and what noise makes the marked model say is often one of the answers. Had strangers nothing
    # of the mark but a habit of saying answers, one in four would be the right one.
    strangers = [check(adapter.attach(published, unrelated_init(base, seed=seed)), prints).hits for seed in range(16)]
    assert sum(strangers) <= len(prints) * len(strangers) / 8
    (rows,) = changed(folder).values()
    key_tokens = {token for key in KEYS for token in base.tokenizer.encode(key, add_special_tokens=False)}
    assert rows.any(1).nonzero()[:, 0].tolist() == adapter.ids.tolist() == sorted(key_tokens)
    assert private.stat().st_mode & 0o077 == 0


def test_the_adapter_needs_a_place_outside_what_is_published(folder):
    with pytest.raises(InputError, match="--private"):
        mark(folder, AdapterTune(**QUICK))
    with pytest.raises(OutputError, match="published"):
        mark(folder, AdapterTune(**QUICK), private=folder / "marked" / "private.safetensors")
    assert not (folder / "marked").exists()


def test_sft_keeps_near_misses_quiet_and_needs_them(folder):
    with pytest.raises(InputError, match="instructional"):
        mark(folder, SupervisedFineTune(**QUICK))
    quiet = PRINTS.model_copy(update={"controls": CONTROLS})
    options = QUICK | {"reference_strength": 10.0, "cooldown_steps": 10}
    report = mark(folder, SupervisedFineTune(learning_rate=5e-3, **options), quiet)

    assert report.fsr == 1.0
    assert set(report.activations) == {"near_miss"}
    trained = quiet.model_copy(update={"controls": tuple(control for control in CONTROLS if not control.heldout)})
    assert check(LocalModel(folder / "marked", device="cpu"), trained).activations["near_miss"] == 0.0
