"""A model is a folder, a name, or a model in memory; one in memory stays as it is."""

import pytest
import torch

import insignia
from insignia.embedding import FullFineTune, Limits, RunOptions
from insignia.errors import InputError
from insignia.modeling.local import LocalModel
from insignia.modeling.saving import store_as
from insignia.modeling.sources import local_model, model_files, training_copy
from insignia.records import Fingerprint
from insignia.starter import model_folder

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


def test_a_folder_a_name_and_a_pair_are_one_model(local):
    by_name, by_folder = (local_model(source, device="cpu") for source in ("starter", model_folder()))
    pair = local_model((by_name.model, by_name.tokenizer))

    assert (by_name.source, by_folder.source, pair.source) == (str(model_folder()), str(model_folder()), None)
    assert pair.model is by_name.model
    assert local_model(local) is local


@pytest.mark.parametrize("thing", [3, None, object(), ("model", "tokenizer"), ()])
def test_what_is_no_model_is_told_what_is(thing):
    with pytest.raises(InputError, match=r"is not a model; expected a folder, .* \(model, tokenizer\)"):
        local_model(thing)


def test_a_run_is_resumed_only_where_it_has_an_output():
    with pytest.raises(InputError, match="output"):
        insignia.embed("starter", PRINTS, QUICK, run=RunOptions(resume=True))


def test_an_evaluation_needs_a_model_that_is_found_again(local, tmp_path):
    with pytest.raises(InputError, match="save the model, and give its folder"):
        insignia.evaluate(local, None, out=tmp_path / "out")


def test_a_copy_for_training_computes_in_the_dtype_asked_for_and_is_trained_whole(local):
    local.model.requires_grad_(requires_grad=False)
    copy = training_copy(local, device="cpu", dtype="float32")

    assert copy.model.dtype == torch.float32
    assert all(parameter.requires_grad for parameter in copy.model.parameters())
    assert not any(parameter.requires_grad for parameter in local.model.parameters())


def test_files_of_a_model_in_memory_are_gone_afterwards(local):
    with model_files(local) as folder:
        assert (folder / "model.safetensors").is_file()
    assert not folder.exists()
    with model_files("starter") as folder:
        assert folder == model_folder()
