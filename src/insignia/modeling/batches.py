"""Padded batches of token ids, and logits at chosen places only."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from insignia.modeling.devices import input_device
from insignia.modeling.shards import is_split
from insignia.suspects.scoring import Example

__all__ = ["LOGITS", "in_pieces", "length_batches", "logits_at", "output_head", "pad_rows", "response_logits", "unwrapped"]

LOGITS = 2**24
"""Logits in memory at once where they are read in pieces: 64 MiB in fp32, and as much for their gradient."""


def length_batches(lengths: Sequence[int], *, max_rows: int, max_tokens: int | None = None) -> Iterator[list[int]]:
    """Yield indices in batches of similar length, longest first, so that an out-of-memory error comes at once.

    A batch has at most ``max_rows`` rows and ``max_tokens`` tokens including pads, or one longer row.
    """
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        longest = lengths[batch[0]] if batch else lengths[index]
        full = len(batch) == max_rows or (max_tokens is not None and (len(batch) + 1) * longest > max_tokens)
        if batch and full:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def pad_rows(rows: Sequence[Sequence[int]], device: torch.device, *, left: bool = False) -> tuple[Tensor, Tensor]:
    """Pad rows to (ids, attention mask), each (rows, tokens). The pad id is 0 and masked."""
    longest = max(map(len, rows))
    ids = torch.zeros(len(rows), longest, dtype=torch.long)
    mask = torch.zeros(len(rows), longest, dtype=torch.long)
    for number, row in enumerate(rows):
        span = slice(longest - len(row), longest) if left else slice(0, len(row))
        ids[number, span] = torch.tensor(row, dtype=torch.long)
        mask[number, span] = 1
    return ids.to(device), mask.to(device)


def response_logits(model: PreTrainedModel, examples: Sequence[Example]) -> tuple[Tensor, Tensor]:
    """Logits at the positions that predict response tokens, and those tokens.

    Returns fp32 logits (response tokens, vocabulary) and targets (response tokens,) over all examples in order.
    """
    rows = [example.ids for example in examples]
    places = [
        (row, column) for row, example in enumerate(examples) for column in range(example.response_start, len(example.ids))
    ]
    # The position before a token predicts it.
    logits = logits_at(model, rows, [(row, column - 1) for row, column in places])
    return logits, torch.tensor([rows[row][column] for row, column in places], device=logits.device)


def logits_at(model: PreTrainedModel, rows: Sequence[Sequence[int]], places: Sequence[tuple[int, int]]) -> Tensor:
    """fp32 logits (places, vocabulary) at these places (row, position) of a batch, as the model's own forward pass has them.

    The head sees the hidden states of these places alone, and what the model does to logits afterwards stays as it is.
    Pads stand on the right, where no causal model looks, so there is no mask and attention takes its fastest way.
    """
    logits, _ = _read(model, rows, places, whole=True)
    return logits


def in_pieces(
    model: PreTrainedModel,
    rows: Sequence[Sequence[int]],
    places: Sequence[tuple[int, int]],
    read: Callable[[Tensor, slice], Tensor],
    *,
    most_logits: int = LOGITS,
) -> Tensor:
    """``read(logits of some places, which places)``, each (places,), over all of them, with at most so many logits in memory.

    The gradient computes the logits of each piece again. They are made all at once where the model changes them after the head,
    or where the head is split over processes and so is whole in a forward pass alone.
    """
    inner: Any = unwrapped(model)
    size = max(1, most_logits // int(inner.config.get_text_config().vocab_size))
    head = output_head(model)
    if len(places) > size and head is not None and not is_split(head):
        logits, hidden = _read(model, rows, places, whole=False)
        if hidden is not None and _alike(logits, head(hidden[:1].detach()).float()):

            def piece(states: Tensor, part: slice) -> Tensor:
                return read(head(states).float(), part)

            parts = [slice(start, start + size) for start in range(0, len(places), size)]
            return torch.cat([checkpoint(piece, hidden[part], part, use_reentrant=False) for part in parts])
    return read(logits_at(model, rows, places), slice(None))


def _alike(one: Tensor, other: Tensor) -> bool:
    return torch.allclose(one.detach(), other.detach(), rtol=1e-2, atol=1e-3)


def _read(
    model: PreTrainedModel, rows: Sequence[Sequence[int]], places: Sequence[tuple[int, int]], *, whole: bool
) -> tuple[Tensor, Tensor | None]:
    """fp32 logits at the places, or at the first alone, and the hidden states of all if the model names its head."""
    ids, _ = pad_rows(rows, input_device(model))
    row_index, position = torch.tensor(places, device=ids.device).T
    states: Tensor | None = None

    def choose(_head: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        nonlocal states
        hidden, *rest = inputs
        states = hidden[row_index.to(hidden.device), position.to(hidden.device)]  # of a model on several devices
        return ((states if whole else states[:1])[None], *rest)

    head = output_head(model)
    hook = None if head is None else head.register_forward_pre_hook(choose)
    try:
        logits: Tensor = model(input_ids=ids, use_cache=False).logits
    finally:
        if hook is not None:
            hook.remove()
    return (logits[row_index, position] if states is None else logits[0]).float(), states


def output_head(model: nn.Module) -> nn.Module | None:
    """The module that makes logits of hidden states, if the model names one; wrappers of engines are looked through."""
    name = getattr(unwrapped(model), "get_output_embeddings", None)
    head = None if name is None else name()
    return head if isinstance(head, nn.Module) else None


def unwrapped(model: nn.Module) -> nn.Module:
    """The model inside of the wrappers of DDP and DeepSpeed."""
    while isinstance(inner := getattr(model, "module", None), nn.Module):
        model = inner
    return model
