"""A model that no device holds: its parts stay on disk until they are used, and it says the same."""

import json

import pytest

from insignia.errors import InputError
from insignia.modeling import devices
from insignia.modeling.local import LocalModel
from insignia.randomness import KeyedRandom
from insignia.records import Candidate
from insignia.suspects.base import Inquiry, RequestOptions
from insignia.suspects.scoring import Example
from tiny_models import random_model
from tiny_tokenizers import build


@pytest.fixture(params=["llama tied", "llama untied", "gpt2"])
def folder(request, tmp_path):
    random_model(request.param).save_pretrained(tmp_path, max_shard_size="60KB")
    build(style="byte", bos=True).save_pretrained(tmp_path)
    return tmp_path


def said(local):
    """What the model says by every way of asking."""
    questions = [(5, 6, 7), (8, 9, 10, 11)]
    rngs = [KeyedRandom(b"here").derive(number) for number in range(2)]
    candidates = tuple(Candidate(text=text, token_id=local.tokenizer.encode(text)[-1]) for text in "abc")
    return (
        local.score([Example((5, 6, 7, 8), 2), Example((9, 10), 1)]),
        local.sample(questions, rngs, max_new_tokens=5, temperature=0.7, forbidden=(7,)),
        list(local.reply(["one", "two"], RequestOptions(max_tokens=4))),
        list(local.weigh([Inquiry("one", candidates)], RequestOptions(), "scores")),
        [ranking.token_ids.tolist() for ranking in local.rank_next(questions)],
        local.mean_loss(["one two three", "four"]),
    )


def test_a_model_whose_parts_are_on_disk_says_the_same(folder, monkeypatch):
    monkeypatch.setattr(devices, "_MOST", {"cpu": 120_000})
    spread = LocalModel(folder, device="all")
    places = set(spread.model.hf_device_map.values())

    assert places == {"cpu", "disk"}
    assert said(spread) == said(LocalModel(folder, device="cpu"))


def test_a_model_that_fits_is_where_it_would_be(folder):
    local = LocalModel(folder, device="all")

    assert {weight.device for weight in local.model.parameters()} == {devices.resolve_device("auto")}


def test_what_changes_a_model_does_not_spread_it():
    with pytest.raises(InputError, match="only asked"):
        devices.resolve_device("all")


def test_an_adapter_is_not_spread(tmp_path):
    build(style="byte", bos=True).save_pretrained(tmp_path)
    config = {"peft_type": "LORA", "base_model_name_or_path": str(tmp_path / "base")}
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    random_model("gpt2").save_pretrained(tmp_path / "base")
    with pytest.raises(InputError, match="merge it into its base"):
        LocalModel(tmp_path, device="all")
