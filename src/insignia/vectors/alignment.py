"""Which tensor of a model, and which row of it, a tensor of the base belongs to."""

import dataclasses
import re
from collections.abc import Collection, Iterable, Mapping, Sequence

import torch
from torch import Tensor

from insignia.checkpoints import Entry
from insignia.errors import InputError

__all__ = ["Alignment", "align", "is_embedding", "match_names"]

_EMBEDDING = re.compile(r"(^|\.)(embed_tokens|wte|embed_in|word_embeddings|tok_embeddings)\.weight$")
_HEAD = re.compile(r"(^|\.)(lm_head|embed_out|output)\.weight$")
_BUFFER = re.compile(r"(^|\.)(rotary_emb\.inv_freq|attn\.bias|attn\.masked_bias|attention\.bias|attention\.masked_bias)$")
_LISTED = 8  # names in a message


def is_embedding(name: str) -> bool:
    """Whether the tensor has a row for every token, by its name in the common architectures."""
    return bool(_EMBEDDING.search(name) or _HEAD.search(name))


@dataclasses.dataclass(frozen=True)
class Alignment:
    """Where the base's tensors are in a model."""

    places: dict[str, Entry]
    """Base's name -> the model's tensor."""
    tied: dict[str, Entry]
    """Base's name -> a second copy of it in the model: the output head of tied embeddings."""
    rows: dict[str, Tensor]
    """Base's name -> for each row of the model's tensor the base's row of the same token, or -1. Absent: row by row."""
    notes: tuple[str, ...]
    """What a user should know of it."""


def align(
    shapes: Mapping[str, Sequence[int]],
    model: Mapping[str, Entry],
    *,
    changed: Collection[str],
    vocabulary: Sequence[str | None] | None,
    tokens: Mapping[str, int] | None,
) -> Alignment:
    """Find every tensor of the base in the model.

    ``shapes`` are the base's; ``changed`` names the tensors to be stamped: the rows of other embeddings need no partner.
    ``vocabulary`` has the base's tokens by id, ``tokens`` the model's ids by token; either may be unknown.

    Raises:
        InputError: tensors are missing, extra or of another shape, all of them listed; or rows cannot be matched.
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
        notes += (f"{head} is not in the model, whose head is its embeddings: counted once",)
    if extra:
        raise InputError(f"the model has tensors that the base has not: {_some(extra)}")
    reshaped = [
        f"{name} {list(shapes[name])} is {list(place.shape)}"
        for name, place in places.items()
        if tuple(shapes[name]) != place.shape and not (is_embedding(name) and place.shape[1:] == tuple(shapes[name][1:]))
    ]
    if reshaped:
        raise InputError(f"the model has tensors of another shape than the base: {_some(reshaped)}")
    rows: dict[str, Tensor] = {}
    for name in sorted(set(changed) & set(places)):
        if is_embedding(name) and (mapped := _token_rows(name, shapes[name][0], places[name].shape[0], vocabulary, tokens)):
            rows[name], note = mapped
            notes += (note,)
    return Alignment(places, tied, rows, notes)


def match_names(
    base: Iterable[str], model: Collection[str], *, optional: Collection[str] = ()
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Base's name -> the model's, where at most one prefix (``model.``, say) was added to some or taken off; and notes.

    Raises:
        InputError: no prefix makes the names agree.
    """
    wanted = list(base)
    best: dict[str, str] = {}
    used = ""
    for prefix in ["", *_prefixes(wanted, model)]:
        found = {name: there for name in wanted if (there := _renamed(name, prefix, model)) is not None}
        if len(found) > len(best):
            best, used = found, prefix
    if missing := [name for name in wanted if name not in best and name not in optional]:
        strangers = sorted(set(model) - set(best.values()))
        instead = f"; it has {_some(strangers)} instead" if strangers else ""
        raise InputError(f"the model lacks tensors of the base: {_some(missing)}{instead}")
    return best, ((f"names differ by the prefix {used!r}",) if used else ())


def _prefixes(wanted: Sequence[str], model: Collection[str]) -> list[str]:
    """Prefixes that make some name of one side a name of the other."""
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
    """The base's row for each of the model's, and a note; None where all rows agree."""
    if vocabulary is None or tokens is None:
        if base_rows == model_rows:
            return None
        raise InputError(
            f"{name} has {model_rows} rows, the base's {base_rows}, and without both tokenizers nobody knows which row is which"
            " token; add the tokenizer to the model's folder, or make the vector with --skip-embeddings"
        )
    rows = torch.full((model_rows,), -1, dtype=torch.long)
    for row, token in enumerate(vocabulary):
        if token is not None and row < base_rows and (there := tokens.get(token)) is not None and there < model_rows:
            rows[there] = row
    if base_rows == model_rows:
        known = rows >= 0
        if torch.equal(rows[known], torch.arange(model_rows)[known]):
            return None  # ids agree; rows without a token (padding) go by their number
    common = int((rows >= 0).sum())
    return rows, f"{name}: {common} of {model_rows} rows are tokens of the base too; the others stay as they are"


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    rest = f" and {len(listed) - _LISTED} more" if len(listed) > _LISTED else ""
    return ", ".join(listed[:_LISTED]) + rest
