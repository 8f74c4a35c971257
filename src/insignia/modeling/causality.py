"""Check that a model is causal: later tokens must not change earlier predictions."""

import torch
from transformers import PreTrainedModel

from insignia.errors import ModelError
from insignia.modeling.devices import input_device

__all__ = ["refuse_bidirectional"]

_LENGTH = 4
# Largest difference over the standard deviation of the logits: 0.01 to 1 in bidirectional models, even with random weights;
# rounding error in causal ones.
_TOLERANCE, _HALF_TOLERANCE = 1e-3, 5e-2


@torch.no_grad()
def refuse_bidirectional(model: PreTrainedModel, name: str) -> None:
    """Raise ModelError if a later token changes an earlier prediction, as in BERT. Costs a forward pass over 8 tokens."""
    rows = torch.ones(2, _LENGTH, dtype=torch.long, device=input_device(model))
    rows[1, -1] = 0
    logits = model(input_ids=rows, attention_mask=torch.ones_like(rows), use_cache=False).logits[:, :-1].float()
    tolerance = _TOLERANCE if model.dtype == torch.float32 else _HALF_TOLERANCE
    if float((logits[0] - logits[1]).abs().max()) > tolerance * float(logits.std()):
        raise ModelError(
            f"{name} is a bidirectional model like BERT and cannot generate; expected a causal language model like GPT or Llama"
        )
