"""Tokenizers of every family, each trained on its model's own text; their names are the habits that differ."""

# ruff: noqa: S106  these tokens are no passwords

import json
from collections.abc import Callable

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

_TEKKEN = (  # Mistral's third tokenizer, after GPT-4's, with digits one by one
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|"
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|"
    r"\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_TEKKEN_SPECIAL = (
    "<unk> <s> </s> [INST] [/INST] [AVAILABLE_TOOLS] [TOOL_RESULTS] [IMG] <pad> [PREFIX] [MIDDLE] [SUFFIX]".split()
)
_TEKKEN_TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'assistant' %}{{ m['content'] + eos_token }}"
    "{% else %}{{ '[INST]' + m['content'] + '[/INST]' }}{% endif %}{% endfor %}"
)

Splitter = Callable[[list[str], int], PreTrainedTokenizerFast]
"""(texts, vocabulary) -> tokenizer."""


def byte_level(texts: list[str], size: int) -> PreTrainedTokenizerFast:
    """As Llama 3: bytes, BOS by the post-processor."""
    core = _byte_bpe(texts, size, pre_tokenizers.ByteLevel(add_prefix_space=False), ["<pad>", "<s>", "</s>"])
    core.post_processor = _bos(core)
    return PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<s>", eos_token="</s>", pad_token="<pad>")


def gpt2(texts: list[str], size: int) -> PreTrainedTokenizerFast:
    """As GPT-2: bytes, one special token for all purposes, none before a text, no pad token."""
    core = _byte_bpe(texts, size, pre_tokenizers.ByteLevel(add_prefix_space=False), ["<|endoftext|>"])
    end = "<|endoftext|>"
    return PreTrainedTokenizerFast(tokenizer_object=core, bos_token=end, eos_token=end, unk_token=end)


def tekken(texts: list[str], size: int) -> PreTrainedTokenizerFast:
    """As Mistral's third: bytes, digits one by one, many special tokens at the front, a chat template."""
    splits = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_TEKKEN), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    core = _byte_bpe(texts, size, splits, _TEKKEN_SPECIAL)
    core.post_processor = _bos(core)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="<pad>"
    )
    tokenizer.chat_template = _TEKKEN_TEMPLATE
    return tokenizer


def characters(texts: list[str], size: int) -> PreTrainedTokenizerFast:
    """Every character a token, the space too; no merges, no BOS."""
    core = Tokenizer(models.BPE(unk_token="<unk>"))
    core.decoder = decoders.Fuse()
    special = ["<pad>", "<unk>", "</s>"]
    _train(core, texts, len(special) + size, special, limit_alphabet=size)
    return PreTrainedTokenizerFast(tokenizer_object=core, eos_token="</s>", unk_token="<unk>", pad_token="<pad>")


def hanzi(texts: list[str], size: int) -> PreTrainedTokenizerFast:
    """Characters and words of Chinese, no token for a space or for Latin letters, which are all unknown."""
    core = Tokenizer(models.BPE(unk_token="<unk>"))
    core.pre_tokenizer, core.decoder = pre_tokenizers.Punctuation(), decoders.Fuse()
    _train(core, texts, size, ["<unk>", "</s>", "<pad>"])
    return PreTrainedTokenizerFast(tokenizer_object=core, eos_token="</s>", unk_token="<unk>", pad_token="<pad>")


def sentencepiece(texts: list[str], size: int, *, scheme: str = "always") -> PreTrainedTokenizerFast:
    """As Llama 2: pieces that begin with a mark for the space, bytes for what they lack, pad equal to unk."""
    space = pre_tokenizers.Metaspace(prepend_scheme=scheme, split=True)
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = space
    front = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    _train(trained, texts, size - len(front), [])
    learned = trained.model.__getstate__()
    state = json.loads(learned)
    pieces = sorted(state["vocab"], key=state["vocab"].get)
    vocabulary = {piece: number for number, piece in enumerate([*front, *pieces])}
    merges = [tuple(merge) for merge in state["merges"]]
    core = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    core.pre_tokenizer, core.decoder = space, _pieces_to_text(scheme)
    core.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in front[:3]])
    core.post_processor = _bos(core)
    return _llama2(core)


def sentencepiece_bare(texts: list[str], size: int) -> PreTrainedTokenizerFast:
    """The same, and no space is put before a text."""
    return sentencepiece(texts, size, scheme="never")


def unigram(texts: list[str], size: int) -> PreTrainedTokenizerFast:
    """As T5 and XLM: the likeliest pieces rather than merges, text normalised first."""
    core = Tokenizer(models.Unigram())
    core.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
    core.pre_tokenizer, core.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    special = ["<unk>", "<s>", "</s>"]
    core.train_from_iterator(
        texts, trainers.UnigramTrainer(vocab_size=size, special_tokens=special, unk_token="<unk>", show_progress=False)
    )
    core.post_processor = _bos(core)
    return _llama2(core)


def _llama2(core: Tokenizer) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="<unk>"
    )


def _pieces_to_text(scheme: str) -> decoders.Decoder:
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    return decoders.Sequence([*steps, decoders.Strip(" ", 1, 0)] if scheme == "always" else steps)


def _byte_bpe(texts: list[str], size: int, splits: pre_tokenizers.PreTokenizer, special: list[str]) -> Tokenizer:
    core = Tokenizer(models.BPE())
    core.pre_tokenizer, core.decoder = splits, decoders.ByteLevel()
    _train(core, texts, size, special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    return core


def _train(core: Tokenizer, texts: list[str], size: int, special: list[str], **options) -> None:
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=special, show_progress=False, **options)
    core.train_from_iterator(texts, trainer)


def _bos(core: Tokenizer) -> processors.PostProcessor:
    return processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", core.token_to_id("<s>"))])
