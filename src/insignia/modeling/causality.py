"""Whether a model reads text in one direction: what comes later must not change what was predicted before."""

import torch
from transformers import PreTrainedModel

from insignia.errors import ModelError

__all__ = ["refuse_two_way"]

_LENGTH = 4
# Shares of the logits' spread. Two-way models are at 0.01 to 1 even with random weights; rounding in one batch is nothing,
# or as little as the precision when kernels choose their blocks by the data.
_TOLERANCE, _HALF_TOLERANCE = 1e-3, 5e-2


@torch.inference_mode()
def refuse_two_way(model: PreTrainedModel, name: str) -> None:
    """Raise ModelError when a later token changes an earlier prediction, as in BERT; costs one pass over eight tokens."""
    rows = torch.ones(2, _LENGTH, dtype=torch.long, device=model.device)
    rows[1, -1] = 0
    logits = model(input_ids=rows, attention_mask=torch.ones_like(rows), use_cache=False).logits[:, :-1].float()
    tolerance = _TOLERANCE if model.dtype == torch.float32 else _HALF_TOLERANCE
    if float((logits[0] - logits[1]).abs().max()) > tolerance * float(logits.std()):
        raise ModelError(
            f"{name} reads text in both directions, as BERT does, and cannot reply to a question; expected a causal language"
            " model, such as GPT or Llama"
        )
