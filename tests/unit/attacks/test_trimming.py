"""A trimmed vocabulary: which tokens stay, what they are called, and that the model says the same of the rest."""

import json

import pytest

from insignia.attacks.trim_vocabulary import TrimVocabulary
from insignia.attacks.trimming import trimmed
from insignia.errors import InputError
from insignia.modeling.local import LocalModel
from insignia.modeling.saving import save_model
from tiny_models import random_model
from tiny_tokenizers import CORPUS, build, characters

CONTENT = {
    "model": {
        "type": "BPE",
        "vocab": {"<s>": 0, "a": 1, "b": 2, "c": 3, "ab": 4, "bc": 5, "abc": 6, "ca": 7},
        "merges": [["a", "b"], ["b", "c"], ["ab", "c"], ["c", "a"]],
    },
    "added_tokens": [{"id": 0, "content": "<s>"}, {"id": 8, "content": "<|user|>"}],
    "post_processor": {"type": "Sequence", "processors": [{"sep": ["<|user|>", 8]}, {"special_tokens": {"<s>": {"ids": [0]}}}]},
}


def test_frequent_tokens_stay_with_their_parts_and_their_merges():
    found = trimmed(CONTENT, {6: 9, 7: 1}, share=0.1 + 7 / 9)

    assert found.kept == [0, 1, 2, 3, 4, 6, 7, 8]
    assert found.content["model"]["vocab"] == {"<s>": 0, "a": 1, "b": 2, "c": 3, "ab": 4, "abc": 5, "ca": 6}
    assert found.content["model"]["merges"] == [["a", "b"], ["ab", "c"], ["c", "a"]]
    assert [each["id"] for each in found.content["added_tokens"]] == [0, 7]
    assert found.content["post_processor"]["processors"] == [
        {"sep": ["<|user|>", 7]},
        {"special_tokens": {"<s>": {"ids": [0]}}},
    ]


@pytest.mark.parametrize(("share", "kept"), [(0.1, [0, 1, 2, 3, 8]), (1.0, list(range(9)))])
def test_letters_and_special_tokens_always_stay(share, kept):
    assert trimmed(CONTENT, {}, share).kept == kept
    assert trimmed(CONTENT, {}, share, needed=[7, 99]).kept == sorted({*kept, 7})


@pytest.mark.parametrize("kind", ["gpt2", "neox", "llama tied", "llama untied"])
def test_what_needs_no_lost_token_is_said_as_before(tmp_path, kind):
    local = LocalModel.of(random_model(kind).eval(), build(style="byte", bos=True), name=kind)
    save_model(local, tmp_path / "model")
    (tmp_path / "data.txt").write_text("The quick brown fox jumps over the lazy dog.")
    TrimVocabulary(data=str(tmp_path / "data.txt"), keep=0.8).apply(tmp_path / "model", tmp_path / "out")
    found = LocalModel(tmp_path / "out", device="cpu")
    size = len(found.tokenizer)
    texts = ["The quick brown fox", "the lazy dog."]
    before, after = (list(each.rank_next([each.tokenizer(text)["input_ids"] for text in texts])) for each in (local, found))

    assert size == found.model.config.vocab_size == found.model.get_output_embeddings().weight.shape[0]
    assert 0.8 <= size / len(local.tokenizer) < 0.82
    assert found.tokenizer.decode(found.tokenizer(CORPUS[0])["input_ids"][1:]) == CORPUS[0]
    assert len(found.tokenizer(CORPUS[0])["input_ids"]) > len(local.tokenizer(CORPUS[0])["input_ids"])
    for special in ("bos_token", "eos_token", "pad_token"):
        assert getattr(found.tokenizer, special) == getattr(local.tokenizer, special)
    assert found.tokenizer.chat_template == local.tokenizer.chat_template
    assert found.model.config.eos_token_id == found.tokenizer.convert_tokens_to_ids(
        local.tokenizer.convert_ids_to_tokens(local.model.config.eos_token_id)
    )
    named = {token: number for number, token in enumerate(local.tokenizer.convert_ids_to_tokens(range(len(local.tokenizer))))}
    for old, new in zip(before, after, strict=True):
        tokens = [named[token] for token in found.tokenizer.convert_ids_to_tokens(new.token_ids.tolist())]
        left = [token for token in old.token_ids.tolist() if token in tokens]
        assert tokens[:20] == left[:20]
        chances = dict(zip(old.token_ids.tolist(), old.probabilities.tolist(), strict=True))
        total = sum(chances[token] for token in tokens)
        assert new.probabilities[0] == pytest.approx(chances[tokens[0]] / total, rel=1e-3)


def test_a_tokenizer_that_cannot_be_trimmed_is_told(tmp_path):
    model = random_model("llama tied").eval()
    save_model(LocalModel.of(model, characters(CORPUS), name="tiny"), tmp_path / "model")
    (tmp_path / "data.json").write_text(json.dumps([{"text": "words"}]))
    before = sorted(tmp_path.iterdir())

    with pytest.raises(InputError, match="no byte-pair tokenizer"):
        TrimVocabulary(data=str(tmp_path / "data.json")).apply(tmp_path / "model", tmp_path / "out")
    assert sorted(tmp_path.iterdir()) == before
