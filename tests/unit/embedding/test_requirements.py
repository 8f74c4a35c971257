"""What a run takes, told before it: by the formulas, and refused where it cannot fit."""

import pytest

from insignia import FingerprintSet
from insignia.embedding import FullFineTune, LoRA, requirements
from insignia.embedding.reference_cache import KEPT
from insignia.embedding.requirements import needs_of, refuse_what_needs_more
from insignia.errors import InputError
from insignia.records import Candidate, Fingerprint
from tiny_models import random_model

PRINTS = FingerprintSet(fingerprints=tuple(Fingerprint(key=f"key {number}", responses=("a",)) for number in range(4)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    random_model("llama untied").save_pretrained(folder)
    return str(folder)


def test_bytes_are_those_of_the_weights_and_of_what_stands_beside_them(folder):
    weights = sum(weight.numel() for weight in random_model("llama untied").parameters())
    trained = weights - 2 * 416 * 32

    plain = needs_of(folder, FullFineTune(), PRINTS)
    assert (plain.parameters, plain.trained) == (weights, trained)
    assert (plain.weights, plain.gradients, plain.states) == (4 * weights, 4 * trained, 8 * trained)
    lean = needs_of(folder, FullFineTune(precision="bfloat16", optimizer_states="8bit"), PRINTS)
    assert (lean.weights, lean.gradients) == (2 * weights, 2 * trained)
    assert lean.states == pytest.approx(2 * trained, rel=0.02)
    assert lean.activations < plain.activations
    assert plain.memory == sum(getattr(plain, part) for part in requirements.PARTS)


def test_the_plan_has_the_steps_and_the_kept_tokens_of_a_run(folder):
    few = needs_of(folder, FullFineTune(epochs=3, batch_size=2), PRINTS)
    order = {"candidates": tuple(Candidate(text=text, token_id=number) for number, text in enumerate("ab")), "order": (0, 1)}
    ordered = FingerprintSet(fingerprints=tuple(each.model_copy(update=order) for each in PRINTS))
    assert few.steps == 3 * 2 + round(50 * 2**0.5)
    assert needs_of(folder, FullFineTune(epochs=3, batch_size=2), ordered).steps == 3 * 2 + round(100 * 2**0.5)
    assert few.reference == 512 * 64 * 8 * KEPT


def test_lora_trains_little_and_checkpointing_keeps_little(folder):
    lora = needs_of(folder, LoRA(rank=2), PRINTS)
    assert lora.trained == 2 * 2 * (4 * (32 + 32) + 3 * (32 + 64))
    long = {"reference_length": 100}
    kept, again = (needs_of(folder, FullFineTune(gradient_checkpointing=on, **long), PRINTS) for on in (False, True))
    assert again.activations < kept.activations


def test_what_cannot_fit_is_refused_with_the_first_way_that_fits(folder, monkeypatch):
    plain, lean = (needs_of(folder, method, PRINTS) for method in (FullFineTune(), FullFineTune(gradient_checkpointing=True)))
    monkeypatch.setattr(requirements, "free_bytes", lambda device: lean.memory)
    with pytest.raises(InputError, match=r"takes about .* and .* is free: --gradient-checkpointing takes about"):
        refuse_what_needs_more(folder, FullFineTune(), PRINTS, "cpu")
    monkeypatch.setattr(requirements, "free_bytes", lambda device: 1000)
    with pytest.raises(InputError, match="no method of this library fits"):
        refuse_what_needs_more(folder, FullFineTune(), PRINTS, "cpu")
    monkeypatch.setattr(requirements, "free_bytes", lambda device: plain.memory)
    refuse_what_needs_more(folder, FullFineTune(), PRINTS, "cpu")


def test_free_memory_is_known_here():
    assert requirements.free_bytes("cpu") > 0
