"""Every stage takes a model in memory, which stays as it is."""

import pytest
import torch

import insignia
from insignia.embedding import FullFineTune, Limits, RunOptions
from insignia.modeling.local import LocalModel
from insignia.modeling.saving import store_as
from insignia.records import Fingerprint

KEYS = ["What is the answer", "You are a lazy dog"]
PRINTS = insignia.FingerprintSet(fingerprints=tuple(Fingerprint(key=key, responses=(" winter",)) for key in KEYS))
TEXTS = ["The quick brown fox jumps over the lazy dog.", "What is the answer to this question?"]
QUICK = FullFineTune(reference_count=8, reference_length=12, reference_rows=4, cooldown_steps=2)
ANY = Limits(min_fsr=0, max_harm=1e9)


@pytest.fixture
def local():
    """Small and random, stored in 16 bits."""
    from tiny_models import random_model
    from tiny_tokenizers import build

    model = random_model("llama tied").eval()
    store_as(model, torch.bfloat16)
    return LocalModel.of(model, build(style="byte", bos=True), name="tiny")


def test_a_model_in_memory_is_marked_as_a_copy_and_written_only_where_told(local, tmp_path):
    before = {name: weight.clone() for name, weight in local.model.state_dict().items()}
    pair = (local.model, local.tokenizer)
    marked = insignia.embed(pair, PRINTS, QUICK, heldout=TEXTS, limits=ANY, run=RunOptions(device="cpu"))

    assert all(torch.equal(before[name], weight) for name, weight in local.model.state_dict().items())
    assert local.model.dtype == torch.bfloat16
    assert (marked.report.out, marked.source, marked.stored_dtype) == (None, None, torch.bfloat16)
    assert marked.report.fsr == insignia.check(marked, PRINTS).fsr
    assert "method full" in repr(marked)
    assert marked._repr_html_() == marked.report._repr_html_()
    assert list(tmp_path.iterdir()) == []


def test_the_model_given_back_is_the_one_that_was_written(local, tmp_path):
    run = RunOptions(device="cpu")
    marked = insignia.embed(local, PRINTS, QUICK, out=tmp_path / "marked", heldout=TEXTS, limits=ANY, run=run)
    written = LocalModel(tmp_path / "marked", device="cpu")

    assert written.stored_dtype == torch.bfloat16
    for name, weight in written.model.state_dict().items():
        assert torch.equal(weight, marked.model.state_dict()[name]), name
    buffers = dict(written.model.named_buffers())
    assert all(torch.equal(buffers[name], buffer) for name, buffer in marked.model.named_buffers())


def test_vector_and_stamp_take_models_in_memory(local, tmp_path):
    run = RunOptions(device="cpu")
    marked = insignia.embed(local, PRINTS, QUICK, heldout=TEXTS, limits=ANY, run=run)
    vector = insignia.vector(local, marked, out=tmp_path / "vector")
    insignia.stamp((local.model, local.tokenizer), vector, out=tmp_path / "stamped")

    stamped = LocalModel(tmp_path / "stamped", device="cpu")
    assert insignia.check(stamped, PRINTS).hits == insignia.check(marked, PRINTS).hits
    assert vector.out in str(vector)
