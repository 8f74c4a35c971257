"""Match the tensors of a model, and their rows, to those of the base."""

import dataclasses
import re
from collections.abc import Collection, Iterable, Mapping, Sequence

import torch
from torch import Tensor

from insignia.checkpoints import Entry
from insignia.errors import InputError
from insignia.terminal import counted

__all__ = ["Alignment", "align", "is_embedding", "match_names"]

_EMBEDDING = re.compile(r"(^|\.)(embed_tokens|wte|embed_in|word_embeddings|tok_embeddings)\.weight$")
_HEAD = re.compile(r"(^|\.)(lm_head|embed_out|output)\.weight$")
_BUFFER = re.compile(r"(^|\.)(rotary_emb\.inv_freq|attn\.bias|attn\.masked_bias|attention\.bias|attention\.masked_bias)$")
_LISTED = 8  # names listed in an error


def is_embedding(name: str) -> bool:
    """Whether the tensor has one row per token, judged by its name in common architectures."""
    return bool(_EMBEDDING.search(name) or _HEAD.search(name))


@dataclasses.dataclass(frozen=True)
class Alignment:
    """The tensors of a model that match the base's tensors."""

    places: dict[str, Entry]
    """Base tensor name -> tensor of the model."""
    tied: dict[str, Entry]
    """Base tensor name -> second copy in the model: the output head, where the base has tied embeddings."""
    rows: dict[str, Tensor]
    """Base tensor name -> for each model row, the base row of the same token or -1. Absent: rows have the same order."""
    notes: tuple[str, ...]
    """Notes for the user."""


def align(
    shapes: Mapping[str, Sequence[int]],
    model: Mapping[str, Entry],
    *,
    changed: Collection[str],
    vocabulary: Sequence[str | None] | None,
    tokens: Mapping[str, int] | None,
) -> Alignment:
    """Find every tensor of the base in the model.

    ``shapes`` are the base's; ``changed`` names the tensors to stamp. ``vocabulary`` has the base's tokens by id, ``tokens``
    the model's ids by token; both may be None.

    Raises:
        InputError: tensors are missing, extra or of another shape, or rows cannot be matched.
    """
    head = next((name for name in shapes if _HEAD.search(name)), None)
    names, notes = match_names(shapes, model, optional={head} if head else ())
    places = {name: model[there] for name, there in names.items()}
    extra = {name: entry for name, entry in model.items() if name not in names.values() and not _BUFFER.search(name)}
    tied: dict[str, Entry] = {}
    embedding = next((name for name in shapes if _EMBEDDING.search(name)), None)
    if head is None and embedding is not None:
        for name in [name for name in extra if _HEAD.search(name)]:
            tied[embedding] = extra.pop(name)
    if head is not None and head not in places and head in changed:
        notes += (f"{head} is not in the model, which ties its head to the embeddings: added once",)
    if extra:
        raise InputError(f"the model has tensors that the base lacks: {_some(extra)}; expected a model derived from the base")
    reshaped = [
        f"{name} {list(shapes[name])} is {list(place.shape)}"
        for name, place in places.items()
        if tuple(shapes[name]) != place.shape and not (is_embedding(name) and place.shape[1:] == tuple(shapes[name][1:]))
    ]
    if reshaped:
        raise InputError(
            f"the model has tensors of another shape than the base: {_some(reshaped)}; expected a model derived from the base"
        )
    rows: dict[str, Tensor] = {}
    for name in sorted(set(changed) & set(places)):
        if is_embedding(name) and (mapped := _token_rows(name, shapes[name][0], places[name].shape[0], vocabulary, tokens)):
            rows[name], note = mapped
            notes += (note,)
    return Alignment(places, tied, rows, notes)


def match_names(
    base: Iterable[str], model: Collection[str], *, optional: Collection[str] = ()
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Match names up to one prefix such as ``model.``; return (base name -> model name, notes).

    Raises:
        InputError: the names do not match with any prefix.
    """
    wanted = list(base)
    best: dict[str, str] = {}
    used = ""
    for prefix in ["", *_prefixes(wanted, model)]:
        found = {name: there for name in wanted if (there := _renamed(name, prefix, model)) is not None}
        if len(found) > len(best):
            best, used = found, prefix
    if missing := [name for name in wanted if name not in best and name not in optional]:
        unmatched = sorted(set(model) - set(best.values()))
        instead = f"; it has {_some(unmatched)} instead" if unmatched else ""
        raise InputError(f"the model lacks tensors of the base: {_some(missing)}{instead}")
    return best, ((f"names differ by the prefix {used!r}",) if used else ())


def _prefixes(wanted: Sequence[str], model: Collection[str]) -> list[str]:
    """Prefixes that turn the first unmatched base name into a model name, or back."""
    missing = next((name for name in wanted if name not in model), None)
    if missing is None:
        return []
    longer = (name.removesuffix(missing) for name in model if name.endswith(f".{missing}"))
    shorter = (missing.removesuffix(name) for name in model if missing.endswith(f".{name}"))
    return list(dict.fromkeys([*longer, *shorter]))


def _renamed(name: str, prefix: str, model: Collection[str]) -> str | None:
    return next((there for there in (name, prefix + name, name.removeprefix(prefix)) if there in model), None)


def _token_rows(
    name: str, base_rows: int, model_rows: int, vocabulary: Sequence[str | None] | None, tokens: Mapping[str, int] | None
) -> tuple[Tensor, str] | None:
    """(base row for each model row, note); None if all rows have the same order."""
    if vocabulary is None or tokens is None:
        if base_rows == model_rows:
            return None
        raise InputError(
            f"{name} has {counted(model_rows, 'row')} and the base's has {base_rows}; matching them by token needs both"
            " tokenizers: add the tokenizer to the model's folder, or make the vector with --skip-embeddings"
        )
    rows = torch.full((model_rows,), -1, dtype=torch.long)
    for row, token in enumerate(vocabulary):
        if token is not None and row < base_rows and (there := tokens.get(token)) is not None and there < model_rows:
            rows[there] = row
    if base_rows == model_rows:
        known = rows >= 0
        if torch.equal(rows[known], torch.arange(model_rows)[known]):
            return None  # same ids; padding rows have no token
    common = int((rows >= 0).sum())
    return rows, f"{name}: {common} of {model_rows} rows are tokens of the base too; the others are unchanged"


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    rest = f" and {len(listed) - _LISTED} more" if len(listed) > _LISTED else ""
    return ", ".join(listed[:_LISTED]) + rest
