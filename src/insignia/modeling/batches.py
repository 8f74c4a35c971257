"""Padded batches of token ids, and logits at response positions only."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

from insignia.suspects.scoring import Example

__all__ = ["length_batches", "pad_rows", "response_logits"]


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
    The model's own head computes them, because it may scale or cap logits.
    """
    ids, mask = pad_rows([example.ids for example in examples], model.device)
    rows, columns = zip(
        *((row, column) for row, example in enumerate(examples) for column in range(example.response_start, len(example.ids))),
        strict=True,
    )
    row_index = torch.tensor(rows, device=ids.device)
    position = torch.tensor(columns, device=ids.device) - 1  # the position before a token predicts it
    kept, slot = torch.unique(position, return_inverse=True)
    logits = model(input_ids=ids, attention_mask=mask, logits_to_keep=kept, use_cache=False).logits  # (rows, kept, vocabulary)
    return logits[row_index, slot].float(), ids[row_index, position + 1]
