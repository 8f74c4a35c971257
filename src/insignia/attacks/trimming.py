"""Take tokens out of a byte-pair tokenizer and their rows out of a model."""

import json
import re
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import torch
from tokenizers import Tokenizer
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from insignia.errors import InputError
from insignia.modeling.local import LocalModel

__all__ = ["Trimmed", "trim", "trimmed"]

_BYTE = re.compile(r"<0x[0-9A-F]{2}>")
_COPIED = ("chat_template", "clean_up_tokenization_spaces", "model_max_length", "padding_side")


class Trimmed(NamedTuple):
    """A tokenizer of fewer tokens."""

    content: dict[str, Any]
    """What tokenizer.json says."""
    kept: list[int]
    """The tokens by their numbers before, in the order of their new numbers."""


def trim(local: LocalModel, counts: Mapping[int, int], share: float) -> None:
    """Leave this share of the tokens, those of the largest counts, in a model and in its tokenizer.

    Raises:
        InputError: the tokenizer is none of byte pairs.
    """
    old = local.tokenizer
    backend = getattr(old, "backend_tokenizer", None)
    content = json.loads(backend.to_str()) if backend is not None else {}
    if content.get("model", {}).get("type") != "BPE":
        raise InputError(
            f"{local.name} has no byte-pair tokenizer; expected one, since the tokens of others cannot be left out"
        )
    found = trimmed(content, counts, share, needed=[token for _, _, tokens in _named(local.model) for token in tokens])
    numbers = {token: number for number, token in enumerate(found.kept)}
    local.tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(found.content)),
        **old.special_tokens_map,
        **{name: getattr(old, name) for name in _COPIED},
    )
    _keep_rows(local.model, found.kept)
    for place, name, tokens in _named(local.model):
        new = [numbers[token] for token in tokens]
        setattr(place, name, new if isinstance(getattr(place, name), list) else new[0])


def trimmed(content: dict[str, Any], counts: Mapping[int, int], share: float, *, needed: Collection[int] = ()) -> Trimmed:
    """The tokenizer without the tokens of the least counts; ``needed`` ones stay."""
    model = content["model"]
    vocabulary: dict[str, int] = model["vocab"]
    merges = [tuple(each.split(" ")) if isinstance(each, str) else tuple(each) for each in model["merges"]]
    parts: dict[str, tuple[str, ...]] = {}
    for pair in merges:
        parts.setdefault("".join(pair), pair)
    texts = {number: token for token, number in vocabulary.items()}
    added = {each["id"] for each in content.get("added_tokens") or ()}
    every = {*texts, *added}
    letters = {number for token, number in vocabulary.items() if token not in parts or _BYTE.fullmatch(token)}
    kept = added | letters | ({*needed} & every)
    for number in sorted(every, key=lambda each: (-counts.get(each, 0), each)):
        if len(kept) >= share * len(every):
            break
        waiting = [number]
        while waiting:
            each = waiting.pop()
            kept.add(each)
            waiting += [vocabulary[part] for part in parts.get(texts.get(each, ""), ()) if vocabulary[part] not in kept]
    order = sorted(kept)
    numbers = {token: number for number, token in enumerate(order)}
    named = {token: numbers[number] for token, number in vocabulary.items() if number in kept}
    left = [[first, second] for first, second in merges if {first, second, first + second} <= named.keys()]
    tokens = [each | {"id": numbers[each["id"]]} for each in content.get("added_tokens") or ()]
    return Trimmed(
        content
        | {
            "model": model | {"vocab": named, "merges": left},
            "added_tokens": tokens,
            "post_processor": _renumbered(content.get("post_processor"), numbers),
        },
        order,
    )


def _renumbered(part: Any, numbers: Mapping[int, int]) -> Any:
    """A post-processor with the new numbers of the special tokens that it adds."""
    if isinstance(part, list):
        return [_renumbered(each, numbers) for each in part]
    if not isinstance(part, dict):
        return part
    found = {name: _renumbered(value, numbers) for name, value in part.items()}
    if isinstance(part.get("ids"), list):
        found["ids"] = [numbers[each] for each in part["ids"]]
    for name in ("sep", "cls"):  # pairs of text and number, of RoBERTa's
        if isinstance(part.get(name), list):
            found[name] = [part[name][0], numbers[part[name][1]]]
    return found


def _keep_rows(model: PreTrainedModel, kept: list[int]) -> None:
    """Leave these rows of the embeddings and of the head."""
    places: list[Any] = [model.get_input_embeddings(), model.get_output_embeddings()]
    tables = {id(table): table for part in places for table in (part.weight, getattr(part, "bias", None)) if table is not None}
    with torch.no_grad():
        for table in tables.values():  # a tied head is the same table
            table[: len(kept)] = table[kept]
    model.resize_token_embeddings(len(kept), mean_resizing=False)


def _named(model: PreTrainedModel) -> list[tuple[Any, str, list[int]]]:
    """(settings, name, tokens) for each field of the model's settings that names tokens."""
    places = {id(place): place for place in (model.config, model.config.get_text_config(), model.generation_config)}
    return [
        (place, name, value if isinstance(value, list) else [value])
        for place in places.values()
        for name, value in vars(place).items()
        if name.endswith("_token_id") and value is not None
    ]
