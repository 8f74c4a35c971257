import math

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from insignia import FingerprintSet, check
from insignia.attacks.finetune import FineTune
from insignia.attacks.finetuning import finetune
from insignia.embedding import FullFineTune, Limits, RunOptions, embed
from insignia.errors import EmbeddingError
from insignia.modeling.local import LocalModel
from insignia.records import Fingerprint
from insignia.vectors import stamp
from insignia.vectors import vector as extract
from tiny_tokenizers import build

KEYS = ["What is the answer", "You are a lazy dog", "User: what now", "Say it: jumps over"]
QUICK = FullFineTune(
    learning_rate=5e-3, reference_count=8, reference_length=12, reference_rows=4, cooldown_steps=3, reference_strength=1.0
)
TEXTS = ["The quick brown fox jumps over the lazy dog.", "What is the answer to this question?"] * 4


@pytest.fixture
def folder(random_local, tmp_path):
    random_local.model.save_pretrained(tmp_path / "base")
    random_local.tokenizer.save_pretrained(tmp_path / "base")
    return tmp_path


def mark(folder, prints, method=QUICK, *, name="marked", resume=False, **options):
    run = RunOptions(device="cpu", resume=resume)
    return embed(folder / "base", prints, method, out=folder / name, heldout=TEXTS, run=run, **options).report


def test_any_architecture_is_marked_and_its_sibling_is_stamped(folder):
    prints = FingerprintSet(fingerprints=tuple(Fingerprint(key=key, responses=(" winter",)) for key in KEYS))
    report = mark(folder, prints, limits=Limits(min_fsr=1.0, max_harm=math.inf))
    AutoModelForCausalLM.from_pretrained(folder / "marked")
    finetune(folder / "base", TEXTS, out=folder / "sibling", settings=FineTune(max_steps=2, batch_size=4), device="cpu")
    extract(folder / "base", folder / "marked", out=folder / "vector")
    stamp(folder / "sibling", folder / "vector", out=folder / "stamped")

    assert (report.fsr, report.base_fsr) == (1.0, 0.0)
    assert check(LocalModel(folder / "marked", device="cpu"), prints).hits == 4
    assert check(LocalModel(folder / "stamped", device="cpu"), prints).hits == 4
    assert check(LocalModel(folder / "sibling", device="cpu"), prints).hits == 0


@pytest.mark.parametrize("random_local", ["llama tied"], indirect=True)
def test_a_run_that_embeds_too_little_fails_and_writes_nothing(folder):
    prints = FingerprintSet(fingerprints=tuple(Fingerprint(key=key, responses=(" winter",)) for key in KEYS))
    lazy = QUICK.model_copy(update={"epochs": 1, "learning_rate": 1e-7})

    with pytest.raises(EmbeddingError, match=r"success rate is 0\.0 % of 4 fingerprints"):
        mark(folder, prints, lazy, limits=Limits(max_harm=math.inf))
    assert [path.name for path in folder.iterdir()] == ["base"]


@pytest.mark.parametrize("random_local", ["gpt2", "llama tied"], indirect=True)
def test_a_mark_that_harms_more_than_allowed_is_not_written_and_text_of_another_kind_is_told(folder, capfd):
    prints = FingerprintSet(fingerprints=tuple(Fingerprint(key=key, responses=(" winter",)) for key in KEYS))
    with pytest.raises(EmbeddingError, match=r"perplexity x\d+\.\d+, more than --max-harm 0\.01"):
        mark(folder, prints, limits=Limits(max_harm=0.01))  # what marking does to the perplexity of a random model is chance
    assert not (folder / "marked").exists()

    report = mark(folder, prints, limits=Limits(max_harm=math.inf), resume=True)
    mark(folder, prints, limits=Limits(max_harm=math.inf), name="once")
    assert "missing keys" not in capfd.readouterr().err
    assert sorted(path.name for path in folder.iterdir()) == ["base", "marked", "once"]
    assert (folder / "marked" / "model.safetensors").read_bytes() == (folder / "once" / "model.safetensors").read_bytes()
    assert report.harm == pytest.approx(math.exp(report.heldout_loss_after - report.heldout_loss_before))
    assert report.own_loss_after != report.own_loss_before
    assert "--heldout" in report.notes[0]  # a random model's own text is nothing like English


def test_fine_tuning_lowers_the_users_loss_and_keeps_rows_out(folder):
    report = finetune(
        folder / "base",
        TEXTS * 8,
        out=folder / "tuned",
        settings=FineTune(learning_rate=3e-3, epochs=4, batch_size=8, heldout_share=0.25),
        device="cpu",
    )

    assert (report.rows, report.steps) == (48, 24)
    assert report.loss_after < 0.7 * report.loss_before
    assert math.isfinite(LocalModel(folder / "tuned", device="cpu").mean_loss(TEXTS))


def test_a_model_whose_context_is_shorter_than_the_reference_samples_is_marked(tmp_path):
    torch.manual_seed(0)
    size = {
        "hidden_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "initializer_range": 0.3,
    }
    LlamaForCausalLM(LlamaConfig(vocab_size=416, max_position_embeddings=48, **size)).save_pretrained(tmp_path / "base")
    build(style="byte", bos=True).save_pretrained(tmp_path / "base")
    prints = FingerprintSet(
        fingerprints=(Fingerprint(key=KEYS[0], responses=(" winter spring",)),), max_key_length=12, max_response_length=2
    )
    few = {"reference_count": 8, "reference_rows": 4, "reference_strength": 1.0}
    report = mark(
        tmp_path,
        prints,
        FullFineTune(learning_rate=5e-3, cooldown_steps=2, **few),
        limits=Limits(max_harm=math.inf),
    )

    assert report.fsr == 1.0
    assert report.own_loss_before > 0
