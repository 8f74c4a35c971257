"""What llama.cpp makes of a tokenizer, or why it could not make the same of it.

llama.cpp knows rules for cutting text into words, each by a name. Its own converter finds the name by the hash of a test
text's token ids, which tells published vocabularies alone. Here the rules themselves are compared: a vocabulary of one's own is
understood too, and rules that are not exactly those of a name are refused, never guessed at.
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

# The splitting of GPT-4 that Llama 3 and Qwen 2 took over; they differ in how many digits make a word.
_WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|DIGITS| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_AS_BYTES = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}
_GPT2 = {**_AS_BYTES, "use_regex": True}


def _words(digits: str) -> list[dict[str, Any]]:
    pattern = _WORDS.replace("DIGITS", digits)
    return [{"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}, _AS_BYTES]


class _Rule(NamedTuple):
    name: str
    steps: list[dict[str, Any]]
    """Of the pre-tokenizer, as the tokenizers library writes them."""
    whole_words: bool = False
    """Whether a word that is a token is taken whole, whatever the merges say."""


_RULES = (
    _Rule("gpt-2", [_GPT2]),
    _Rule("smollm", [{"type": "Digits", "individual_digits": True}, _GPT2]),
    _Rule("llama-bpe", _words(r"\p{N}{1,3}"), whole_words=True),
    _Rule("dbrx", _words(r"\p{N}{1,3}")),
    _Rule("qwen2", _words(r"\p{N}")),
)


_NFC = "llama.cpp does not bring text into Unicode's form NFC first, as the tokenizer does; text in that form is split alike"
_NORMAL, _UNUSED = gguf.TokenType.NORMAL, gguf.TokenType.UNUSED


class Vocabulary(NamedTuple):
    """A byte-level BPE tokenizer in llama.cpp's words."""

    pre: str
    """llama.cpp's name of the rules that cut text into words."""
    tokens: list[str]
    types: list[gguf.TokenType]
    merges: list[str]
    special: dict[str, int]
    """bos, eos, pad, unk -> id, of those that there are."""
    add_bos: bool
    add_eos: bool
    chat_template: str | list[dict[str, str]]
    notes: tuple[str, ...]


def read_vocabulary(folder: Path, rows: int) -> Vocabulary:
    """The tokenizer of a model folder whose embeddings have so many rows.

    Raises:
        ModelError: there is none that can be loaded, or llama.cpp would tokenize otherwise.
    """
    if not (folder / "tokenizer.json").is_file():  # without it, transformers may make up an empty one
        raise ModelError(f"{folder} has no tokenizer.json, and a GGUF file is written of no other tokenizer")
    tokenizer = load_tokenizer(folder)
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    model = state["model"]
    vocabulary = tokenizer.get_vocab()
    if reason := _not_byte_level(model, vocabulary) or _not_plain(state, tokenizer):
        raise ModelError(f"{folder}: llama.cpp would tokenize otherwise: {reason}")
    names = dict(zip(vocabulary.values(), vocabulary, strict=True))
    if max(names) >= rows or len(names) < len(vocabulary):
        raise ModelError(f"{folder}: token {max(names)} has no row of its own among the {rows} of the embeddings")
    kinds = {
        token["id"]: gguf.TokenType.CONTROL if token["special"] else gguf.TokenType.USER_DEFINED
        for token in state["added_tokens"]
    }
    add_bos, add_eos = _added(tokenizer, folder)
    template = tokenizer.chat_template or ""
    return Vocabulary(
        pre=_pre_tokenizer(state, folder),
        tokens=[names.get(number, f"[PAD{number}]") for number in range(rows)],  # the converter's own name for what is none
        types=[kinds.get(number, _NORMAL if number in names else _UNUSED) for number in range(rows)],
        merges=[" ".join(pair) for pair in model["merges"]],
        special=_special(tokenizer),
        add_bos=add_bos,
        add_eos=add_eos,
        chat_template=template if isinstance(template, str) else [{"name": k, "template": v} for k, v in template.items()],
        notes=(_NFC,) if state["normalizer"] else (),
    )


def write_vocabulary(writer: gguf.GGUFWriter, vocabulary: Vocabulary) -> None:
    """The tokenizer under llama.cpp's names."""
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
    said = [{key: value for key, value in step.items() if key != "trim_offsets"} for step in steps]  # where, not what
    for rule in _RULES:
        if rule.steps == said and rule.whole_words == bool(state["model"].get("ignore_merges")):
            return rule.name
    known = ", ".join(rule.name for rule in _RULES)
    raise ModelError(
        f"{folder}: the tokenizer cuts text into words by rules that are none of llama.cpp's {known}; "
        "with others its tokens would be wrong, so no file is written"
    )


def _not_byte_level(model: dict[str, Any], vocabulary: Mapping[str, int]) -> str | None:
    if model["type"] != "BPE":
        return f"the tokenizer is a {model['type']}, and only byte-level BPE is supported"
    if missing := [letter for letter in ByteLevel.alphabet() if letter not in vocabulary]:
        return f"{len(missing)} of the 256 bytes are no tokens; only byte-level BPE is supported"
    odd = ("dropout", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback")
    return next((f"{setting} is set" for setting in odd if model.get(setting)), None)


def _not_plain(state: dict[str, Any], tokenizer: PreTrainedTokenizerBase) -> str | None:
    if (state["normalizer"] or {"type": "NFC"})["type"] != "NFC":
        return f"text is changed by the normalizer {state['normalizer']['type']} first"
    for token in state["added_tokens"]:
        for habit in ("lstrip", "rstrip", "single_word"):
            if token[habit]:
                return f"the added token {token['content']!r} is marked {habit}"
    if tokenizer.eos_token_id is None:
        return "the tokenizer has no end-of-sequence token, and any other would end replies"
    return None


def _added(tokenizer: PreTrainedTokenizerBase, folder: Path) -> tuple[bool, bool]:
    """Whether a text gets BOS before it and EOS after it; found by trying."""
    bare = tokenizer("a", add_special_tokens=False).input_ids
    whole = tokenizer("a").input_ids
    for before in ([], [tokenizer.bos_token_id]):
        for after in ([], [tokenizer.eos_token_id]):
            if whole == before + bare + after:
                return bool(before), bool(after)
    raise ModelError(f"{folder}: the tokenizer adds other tokens than BOS and EOS to a text, which llama.cpp cannot")


def _special(tokenizer: PreTrainedTokenizerBase) -> dict[str, int]:
    ids = {name: getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad", "unk")}
    return {name: number for name, number in ids.items() if number is not None}
