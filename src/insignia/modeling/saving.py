"""Write a model in memory as a Hugging Face folder."""

from pathlib import Path

import torch
from safetensors import SafetensorError

from insignia.errors import OutputError
from insignia.files import new_folder
from insignia.modeling.bars import without_bars
from insignia.modeling.local import LocalModel

__all__ = ["save_model", "store_as"]


@without_bars()
def save_model(local: LocalModel, out: Path, *, force: bool = False) -> None:
    """Write model and tokenizer as an ordinary Hugging Face folder, whole or not at all.

    The weights are rounded to the checkpoint's dtype, in the file and in memory.

    Raises:
        OutputError: ``out`` exists and ``force`` is off, cannot be written, or the disk is full.
    """
    before = local.model.dtype
    with new_folder(out, force=force) as scratch:
        store_as(local.model, local.stored_dtype)
        try:
            local.model.save_pretrained(scratch)
            local.tokenizer.save_pretrained(scratch)
        except SafetensorError as error:  # a full disk
            raise OutputError(f"cannot write {out}: {error}") from error
        finally:
            store_as(local.model, before)


def store_as(model: torch.nn.Module, dtype: torch.dtype) -> None:
    """Keep the weights in another dtype. Buffers stay: rotary frequencies rounded to 16 bits are other frequencies."""
    for parameter in model.parameters():
        parameter.data = parameter.data.to(dtype)
