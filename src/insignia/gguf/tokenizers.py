"""Write a tokenizer for llama.cpp, or refuse one that llama.cpp would apply differently.

llama.cpp has pre-tokenizers with fixed names. Its converter finds the name by hashing the token ids of a test text, which works
for published vocabularies only. This module compares the pre-tokenizer's rules instead, so that any vocabulary works.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import gguf
from tokenizers.pre_tokenizers import ByteLevel
from transformers import PreTrainedTokenizerBase

from insignia.errors import ModelError
from insignia.modeling.loading import load_tokenizer

__all__ = ["Vocabulary", "read_vocabulary", "write_vocabulary"]

# GPT-4's pattern, also used by Llama 3 and Qwen 2 with other numbers of digits.
_WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|DIGITS| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_AS_BYTES = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}
_GPT2 = {**_AS_BYTES, "use_regex": True}


def _words(digits: str) -> list[dict[str, Any]]:
    pattern = _WORDS.replace("DIGITS", digits)
    return [{"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}, _AS_BYTES]


class _Rule(NamedTuple):
    name: str
    steps: list[dict[str, Any]]
    """Steps of the pre-tokenizer, as the tokenizers library serializes them."""
    whole_words: bool = False
    """Whether a word that is a token ignores the merges."""


_RULES = (
    _Rule("gpt-2", [_GPT2]),
    _Rule("smollm", [{"type": "Digits", "individual_digits": True}, _GPT2]),
    _Rule("llama-bpe", _words(r"\p{N}{1,3}"), whole_words=True),
    _Rule("dbrx", _words(r"\p{N}{1,3}")),
    _Rule("qwen2", _words(r"\p{N}")),
)


_NFC = "llama.cpp does not normalize text to NFC as the tokenizer does; only NFC text gets the same tokens"
_NORMAL, _UNUSED = gguf.TokenType.NORMAL, gguf.TokenType.UNUSED


class Vocabulary(NamedTuple):
    """A byte-level BPE tokenizer in llama.cpp's format."""

    pre: str
    """llama.cpp's name of the pre-tokenizer."""
    tokens: list[str]
    types: list[gguf.TokenType]
    merges: list[str]
    special: dict[str, int]
    """bos, eos, pad, unk -> id, if the tokenizer has them."""
    add_bos: bool
    add_eos: bool
    chat_template: str | list[dict[str, str]]
    notes: tuple[str, ...]


def read_vocabulary(folder: Path, rows: int) -> Vocabulary:
    """Read the tokenizer of a model folder whose embedding has ``rows`` rows.

    Raises:
        ModelError: it is missing or cannot be loaded, or llama.cpp would tokenize differently.
    """
    if not (folder / "tokenizer.json").is_file():  # without it, transformers may build an empty one
        raise ModelError(f"{folder} has no tokenizer.json, which a GGUF file needs; save the tokenizer with transformers")
    tokenizer = load_tokenizer(folder)
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    model = state["model"]
    vocabulary = tokenizer.get_vocab()
    if reason := _not_byte_level(model, vocabulary) or _not_plain(state, tokenizer):
        raise ModelError(f"{folder}: llama.cpp would tokenize differently: {reason}")
    names = dict(zip(vocabulary.values(), vocabulary, strict=True))
    if max(names) >= rows or len(names) < len(vocabulary):
        raise ModelError(
            f"{folder}: token {max(names)} has no row in the embedding of {rows} rows; is it the tokenizer of this model?"
        )
    kinds = {
        token["id"]: gguf.TokenType.CONTROL if token["special"] else gguf.TokenType.USER_DEFINED
        for token in state["added_tokens"]
    }
    add_bos, add_eos = _added(tokenizer, folder)
    template = tokenizer.chat_template or ""
    return Vocabulary(
        pre=_pre_tokenizer(state, folder),
        tokens=[names.get(number, f"[PAD{number}]") for number in range(rows)],  # the converter's name for padding rows
        types=[kinds.get(number, _NORMAL if number in names else _UNUSED) for number in range(rows)],
        merges=[" ".join(pair) for pair in model["merges"]],
        special=_special(tokenizer),
        add_bos=add_bos,
        add_eos=add_eos,
        chat_template=template if isinstance(template, str) else [{"name": k, "template": v} for k, v in template.items()],
        notes=(_NFC,) if state["normalizer"] else (),
    )


def write_vocabulary(writer: gguf.GGUFWriter, vocabulary: Vocabulary) -> None:
    """Write the tokenizer's metadata."""
    writer.add_vocab_size(len(vocabulary.tokens))
    writer.add_tokenizer_model("gpt2")  # byte-level BPE of any origin
    writer.add_tokenizer_pre(vocabulary.pre)
    writer.add_token_list(vocabulary.tokens)
    writer.add_token_types(vocabulary.types)
    writer.add_token_merges(vocabulary.merges)
    for name, number in vocabulary.special.items():
        getattr(writer, f"add_{name}_token_id")(number)
    writer.add_add_bos_token(vocabulary.add_bos)
    writer.add_add_eos_token(vocabulary.add_eos)
    if vocabulary.chat_template:
        writer.add_chat_template(vocabulary.chat_template)


def _pre_tokenizer(state: dict[str, Any], folder: Path) -> str:
    found = state["pre_tokenizer"] or {}
    steps = found.get("pretokenizers", [found])
    found_steps = [
        {key: value for key, value in step.items() if key != "trim_offsets"} for step in steps
    ]  # affects offsets, not tokens
    for rule in _RULES:
        if rule.steps == found_steps and rule.whole_words == bool(state["model"].get("ignore_merges")):
            return rule.name
    known = ", ".join(rule.name for rule in _RULES)
    raise ModelError(f"{folder}: the tokenizer's pre-tokenizer is not supported; expected one of llama.cpp's {known}")


def _not_byte_level(model: dict[str, Any], vocabulary: Mapping[str, int]) -> str | None:
    if model["type"] != "BPE":
        return f"the tokenizer is of type {model['type']}; expected byte-level BPE"
    if missing := [letter for letter in ByteLevel.alphabet() if letter not in vocabulary]:
        return f"{len(missing)} of the 256 bytes are not tokens; expected byte-level BPE"
    odd = ("dropout", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback")
    return next((f"{setting} is set" for setting in odd if model.get(setting)), None)


def _not_plain(state: dict[str, Any], tokenizer: PreTrainedTokenizerBase) -> str | None:
    if (state["normalizer"] or {"type": "NFC"})["type"] != "NFC":
        return f"the tokenizer has the normalizer {state['normalizer']['type']}; expected none or NFC"
    for token in state["added_tokens"]:
        for flag in ("lstrip", "rstrip", "single_word"):
            if token[flag]:
                return f"the added token {token['content']!r} has {flag} set"
    if tokenizer.eos_token_id is None:
        return "the tokenizer has no EOS token to end replies with"
    return None


def _added(tokenizer: PreTrainedTokenizerBase, folder: Path) -> tuple[bool, bool]:
    """Whether the tokenizer adds BOS before a text and EOS after it."""
    bare = tokenizer("a", add_special_tokens=False).input_ids
    whole = tokenizer("a").input_ids
    for before in ([], [tokenizer.bos_token_id]):
        for after in ([], [tokenizer.eos_token_id]):
            if whole == before + bare + after:
                return bool(before), bool(after)
    raise ModelError(f"{folder}: the tokenizer adds tokens other than BOS and EOS to a text, which llama.cpp cannot do")


def _special(tokenizer: PreTrainedTokenizerBase) -> dict[str, int]:
    ids = {name: getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad", "unk")}
    return {name: number for name, number in ids.items() if number is not None}
