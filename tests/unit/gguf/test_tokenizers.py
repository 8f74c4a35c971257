import gguf
import pytest
from tokenizers import AddedToken, normalizers, pre_tokenizers, processors

from insignia.errors import ModelError
from insignia.gguf.tokenizers import read_vocabulary
from insignia.starter import model_folder
from tiny_models import random_model
from tiny_tokenizers import CHAT, build

Kind = gguf.TokenType


@pytest.fixture
def saved(tmp_path):
    """Save a tokenizer beside a Llama's settings."""

    def save(tokenizer):
        random_model("llama tied").config.save_pretrained(tmp_path)
        tokenizer.save_pretrained(tmp_path)
        return tmp_path

    return save


def byte_level(change=None, **habits):
    tokenizer = build(**{"style": "byte", "bos": True, **habits})
    if change is not None:
        change(tokenizer)
    return tokenizer


def test_the_starters():
    vocabulary = read_vocabulary(model_folder(), 4096)

    assert vocabulary.pre == "gpt-2"
    assert (len(vocabulary.tokens), len(vocabulary.types), len(vocabulary.merges)) == (4096, 4096, 3834)
    assert vocabulary.tokens[:6] == ["<pad>", "<s>", "</s>", "<|system|>", "<|user|>", "<|assistant|>"]
    assert vocabulary.types[5:7] == [Kind.CONTROL, Kind.NORMAL]
    assert vocabulary.merges[0] == "Ġ t"
    assert vocabulary.special == {"bos": 1, "eos": 2, "pad": 0}
    assert (vocabulary.add_bos, vocabulary.add_eos) == (True, False)
    assert vocabulary.chat_template == (model_folder() / "chat_template.jinja").read_text()


@pytest.mark.parametrize(("bos", "eos"), [(False, False), (True, False), (True, True), (False, True)])
def test_what_a_text_gets_before_and_after_it_is_found(saved, bos, eos):
    vocabulary = read_vocabulary(saved(byte_level(bos=bos, eos=eos)), 416)

    assert (vocabulary.add_bos, vocabulary.add_eos, vocabulary.chat_template) == (bos, eos, CHAT)


def test_rows_without_a_token_get_names_that_are_none(saved):
    tokenizer = byte_level()
    tokenizer.add_tokens([AddedToken("  ", normalized=True)])
    vocabulary = read_vocabulary(saved(tokenizer), 416)
    count = len(tokenizer)

    assert (vocabulary.tokens[count - 1], vocabulary.types[count - 1]) == ("  ", Kind.USER_DEFINED)
    assert vocabulary.tokens[count] == f"[PAD{count}]"
    assert set(vocabulary.types[count:]) == {Kind.UNUSED}
    assert len(vocabulary.tokens) == len(set(vocabulary.tokens)) == 416


def test_a_form_of_unicode_is_noted(saved):
    def normalise(tokenizer):
        tokenizer.backend_tokenizer.normalizer = normalizers.NFC()

    (note,) = read_vocabulary(saved(byte_level(normalise)), 416).notes

    assert "NFC" in note


def lower(tokenizer):
    tokenizer.backend_tokenizer.normalizer = normalizers.Lowercase()


def another_cut(tokenizer):
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)


def no_cut(tokenizer):
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)


def greedy_token(tokenizer):
    tokenizer.add_tokens([AddedToken("<mask>", lstrip=True)])


def endless(tokenizer):
    tokenizer.eos_token = None


def padded(tokenizer):
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(single="<pad> $A", special_tokens=[("<pad>", 3)])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lower, "normalizer Lowercase"),
        (another_cut, "one of llama.cpp's gpt-2, smollm, llama-bpe"),
        (no_cut, "pre-tokenizer is not supported"),
        (greedy_token, "'<mask>' has lstrip set"),
        (endless, "no EOS token"),
        (padded, "tokens other than BOS and EOS"),
    ],
)
def test_a_tokenizer_that_llama_cpp_would_not_follow_is_refused(saved, change, message):
    folder = saved(byte_level(change))
    with pytest.raises(ModelError, match=message):
        read_vocabulary(folder, 416)


def test_a_tokenizer_without_bytes_is_refused(saved):
    folder = saved(build(style="meta", bos=True))
    with pytest.raises(ModelError, match="256 bytes are not tokens"):
        read_vocabulary(folder, 416)


def test_more_tokens_than_rows_are_refused(saved):
    folder = saved(byte_level())
    with pytest.raises(ModelError, match=r"token \d+ has no row in the embedding of 300"):
        read_vocabulary(folder, 300)


def test_a_folder_without_a_tokenizer_is_refused(tmp_path):
    random_model("llama tied").config.save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="has no tokenizer"):
        read_vocabulary(tmp_path, 416)


def test_a_damaged_tokenizer_is_refused(saved):
    folder = saved(byte_level())
    (folder / "tokenizer.json").write_text("{")
    with pytest.raises(ModelError, match="cannot load the tokenizer"):
        read_vocabulary(folder, 416)
