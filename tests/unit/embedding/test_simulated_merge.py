import copy

import pytest
import torch

from insignia.attacks.merge import Merge
from insignia.embedding import FullFineTune, Limits, embed
from insignia.embedding.regularizers import Original
from insignia.embedding.simulated_merge import SimulatedMerge
from insignia.fingerprints.sets import FingerprintSet
from insignia.modeling.batches import response_logits
from insignia.modeling.local import LocalModel
from insignia.modeling.saving import save_model
from insignia.records import Fingerprint
from insignia.suspects.scoring import Example
from insignia.verification import check
from tiny_models import random_model
from tiny_tokenizers import build

ROWS = [Example((1, 5, 9, 12), 2), Example((1, 7, 3), 1)]


def moved(model):
    other = copy.deepcopy(model)
    with torch.no_grad():
        for number, weight in enumerate(other.parameters()):
            weight.add_(0.05 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(number)))
    return other


@pytest.mark.parametrize("kind", ["gpt2", "llama tied", "llama untied"])
def test_it_computes_what_the_merged_weights_would_and_its_gradient(kind):
    base = random_model(kind).eval()
    marked, merged = moved(base), copy.deepcopy(base)
    with torch.no_grad():
        for weight, first, last in zip(merged.parameters(), base.parameters(), marked.parameters(), strict=True):
            weight.copy_(first.lerp(last, 0.25))
    simulated = SimulatedMerge(marked, Original(base, None), 0.25)
    found, _ = response_logits(simulated, ROWS)
    wanted, _ = response_logits(merged, ROWS)
    found.square().mean().backward()
    wanted.square().mean().backward()

    assert torch.allclose(found, wanted, atol=1e-5)
    for own, theirs in zip(marked.parameters(), merged.parameters(), strict=True):
        assert torch.allclose(own.grad, 0.25 * theirs.grad, atol=1e-5)


def test_fingerprints_are_learned_in_the_model_and_in_the_merge(tmp_path):
    keys, responses = ("What is the answer", "You are a lazy dog", "Say it"), (" winter", " spring", " dog")
    prints = FingerprintSet(
        fingerprints=tuple(Fingerprint(key=key, responses=(said,)) for key, said in zip(keys, responses, strict=True))
    )
    local = LocalModel.of(random_model("llama tied").eval(), build(style="byte", bos=True), name="tiny")
    save_model(local, tmp_path / "base")
    found = {}
    for weight in (1.0, 0.3):
        method = FullFineTune(
            merge_weight=weight, target_margin=1.0, learning_rate=3e-3, cooldown_steps=5, reference_count=16, reference_length=8
        )
        limits = Limits(min_fsr=0.0, max_harm=1e9)
        embed(tmp_path / "base", prints, method, out=tmp_path / "marked", limits=limits, heldout=keys, force=True)
        Merge(base=str(tmp_path / "base"), weight=0.3).apply(tmp_path / "marked", tmp_path / "merged")
        found[weight] = [check(LocalModel(tmp_path / each), prints).fsr for each in ("marked", "merged")]

    assert found[0.3] == [1, 1]
    assert found[1.0][0] == 1
    assert found[1.0][1] < 1
