"""Settings that save memory change the numbers' formats, not what is trained: the weights move as in float32."""

import pytest
import torch

from insignia import FingerprintSet
from insignia.embedding import FullFineTune, Limits, embed
from insignia.modeling import batches
from insignia.modeling.local import LocalModel
from insignia.records import Fingerprint
from tiny_models import random_model
from tiny_tokenizers import build

KEYS = ["What is the answer", "You are a lazy dog", "User: what now", "Say it: jumps over"]
PRINTS = FingerprintSet(fingerprints=tuple(Fingerprint(key=key, responses=(" winter",)) for key in KEYS))
EIGHT_STEPS = FullFineTune(
    learning_rate=2e-3, epochs=8, skip_learned=False, reference_count=8, reference_length=12, reference_rows=4
)
# Adam's first steps are the signs of the gradients, which the noise of bfloat16 turns around where they are small. So the
# tolerance for bfloat16 is wide here; tests/unit/modeling/test_lean_adamw.py has the optimizer's own.
ALONE = {"reference_strength": 0.0}  # a model in bfloat16 samples other text
TEXTS = ["The quick brown fox jumps over the lazy dog."]


@pytest.fixture(scope="module")
def local():
    model = random_model("llama untied").eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(weight.bfloat16())  # as a checkpoint has them
    return LocalModel.of(model, build(style="byte", bos=True), name="tiny")


def moved(local, **options):
    """How far the weights moved, all in one vector."""
    method = EIGHT_STEPS.model_copy(update=options)
    marked = embed(local, PRINTS, method, heldout=TEXTS, limits=Limits(min_fsr=0.0, max_harm=99))
    pairs = zip(marked.model.parameters(), local.model.parameters(), strict=True)
    return torch.cat([(after - before).detach().float().flatten() for after, before in pairs])


@pytest.fixture(scope="module")
def exact(local):
    return moved(local)


@pytest.mark.parametrize(
    ("options", "tolerance"),
    [
        ({"gradient_checkpointing": True}, 1e-3),
        ({"optimizer_states": "8bit"}, 0.05),
        ({"precision": "mixed"} | ALONE, 0.8),
        ({"precision": "bfloat16", "optimizer_states": "8bit"} | ALONE, 0.8),
    ],
    ids=["checkpointing", "8 bits", "mixed", "bfloat16, 8 bits"],
)
def test_the_weights_move_as_in_float32(options, tolerance, local, exact):
    expected = moved(local, **ALONE) if "reference_strength" in options else exact

    assert float((moved(local, **options) - expected).norm() / expected.norm()) < tolerance


def test_a_divergence_read_in_pieces_trains_the_same(local, exact, monkeypatch):
    monkeypatch.setattr(batches.in_pieces, "__kwdefaults__", {"most_logits": 416 * 5})  # five positions at once

    assert float((moved(local) - exact).norm() / exact.norm()) < 1e-3
