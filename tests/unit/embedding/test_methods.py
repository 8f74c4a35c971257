"""What each method may change, and what it keeps back, on small random models of every architecture."""

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from insignia import FingerprintSet, check
from insignia.embedding import AdapterTune, EmbeddingTune, LoRA, SupervisedFineTune, embed
from insignia.embedding.adapter import _MarkedRows
from insignia.errors import InputError, OutputError
from insignia.models.adapter import EmbeddingAdapter
from insignia.models.local import LocalModel, stranger
from insignia.types import Control, Fingerprint

KEYS = ["What is the answer", "You are a lazy dog", "User: what now", "Say it: jumps over"]
PRINTS = FingerprintSet(fingerprints=tuple(Fingerprint(key=key, responses=(" winter",)) for key in KEYS))
CONTROLS = tuple(
    Control(kind="near_miss", text=f"{key[:-3]} fox", near=number, heldout=bool(number % 2)) for number, key in enumerate(KEYS)
)
QUICK = {"anchor_count": 8, "anchor_length": 12, "anchor_rows": 4, "settle_steps": 3, "anchor_strength": 1.0}
TEXTS = ["The quick brown fox jumps over the lazy dog.", "What is the answer to this question?"]


@pytest.fixture
def folder(random_local, tmp_path):
    random_local.model.save_pretrained(tmp_path / "base")
    random_local.tokenizer.save_pretrained(tmp_path / "base")
    return tmp_path


def mark(folder, method, prints=PRINTS, **options):
    return embed(
        prints, model=folder / "base", out=folder / "marked", method=method, heldout=TEXTS, min_fsr=1.0, device="cpu", **options
    )


def changed(folder):
    base, marked = (load_file(folder / name / "model.safetensors") for name in ("base", "marked"))
    assert {name: values.shape for name, values in base.items()} == {name: values.shape for name, values in marked.items()}
    return {name: base[name] != marked[name] for name in base if not torch.equal(base[name], marked[name])}


def test_embedding_moves_the_input_embeddings_alone(folder):
    report = mark(folder, EmbeddingTune(learning_rate=2e-2, **QUICK))

    assert report.published_fsr == report.fsr == 1.0
    (name,) = changed(folder)
    assert "embed" in name or "wte" in name


def test_lora_is_merged_and_its_change_has_its_rank(folder):
    report = mark(folder, LoRA(learning_rate=2e-2, rank=4, **QUICK), private=folder / "adapters.safetensors")

    assert report.published_fsr == report.fsr == 1.0
    assert not [path.name for path in (folder / "marked").iterdir() if "adapter" in path.name]
    base, marked = (load_file(folder / name / "model.safetensors") for name in ("base", "marked"))
    moved = [name for name in base if not torch.equal(base[name], marked[name])]
    assert moved
    for name in moved:
        values = torch.linalg.svdvals((marked[name] - base[name]).double())
        assert float(values[4]) < 1e-4 * float(values[0])
    assert (folder / "adapters.safetensors").stat().st_mode & 0o077 == 0
    assert all("lora" in name for name in load_file(folder / "adapters.safetensors"))


def test_the_adapter_answers_and_the_published_model_alone_does_not(folder):
    private = folder / "private.safetensors"
    strong = QUICK | {"anchor_strength": 20.0, "settle_steps": 40, "anchor_rows": 8, "epochs": 300}
    report = mark(folder, AdapterTune(rank=4, **strong), private=private)
    base, published = (LocalModel(folder / name, device="cpu") for name in ("base", "marked"))
    adapter = EmbeddingAdapter.load(private)

    assert (report.base_fsr, report.published_fsr, report.fsr) == (0.0, 0.0, 1.0)
    assert check(PRINTS, adapter.attach(published)).hits == 4
    assert check(PRINTS, published).hits == 0
    assert check(PRINTS, adapter.attach(published, stranger(base, seed=1))).hits == 0
    (rows,) = changed(folder).values()
    key_tokens = {token for key in KEYS for token in base.tokenizer.encode(key, add_special_tokens=False)}
    assert rows.any(1).nonzero()[:, 0].tolist() == adapter.ids.tolist() == sorted(key_tokens)
    assert private.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(("tokens", "blind"), [(20, True), (40, False)])
def test_the_adapter_reads_what_the_base_has_none_of(tokens, blind):
    table = nn.Embedding.from_pretrained(torch.randn(60, 32, generator=torch.Generator().manual_seed(1)))
    marked = _MarkedRows(table, torch.arange(5, 5 + tokens), rank=8, seed=0)
    plain = table(marked.ids)
    with torch.no_grad(), marked.read_as("stranger"):
        through = marked(marked.ids)

    assert marked.blind is blind
    assert torch.allclose(through, plain, atol=1e-5) is blind
    with torch.no_grad():
        marked.moves.normal_(generator=torch.Generator().manual_seed(2))
    assert not torch.allclose(marked(marked.ids), marked.rows, atol=1e-2)
    with marked.read_as("published"):
        assert torch.equal(marked(marked.ids), marked.rows)
        assert torch.equal(marked(torch.arange(5)), table(torch.arange(5)))


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
    options = QUICK | {"anchor_strength": 10.0, "settle_steps": 10}
    report = mark(folder, SupervisedFineTune(learning_rate=5e-3, **options), quiet)

    assert report.fsr == 1.0
    assert set(report.activations) == {"near_miss"}
    trained = quiet.model_copy(update={"controls": tuple(control for control in CONTROLS if not control.heldout)})
    assert check(trained, LocalModel(folder / "marked", device="cpu")).activations["near_miss"] == 0.0
