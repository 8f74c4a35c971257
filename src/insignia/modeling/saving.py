"""Write a model in memory as a Hugging Face folder."""

from pathlib import Path

import torch
from safetensors import SafetensorError

from insignia.errors import OutputError
from insignia.files import new_folder
from insignia.modeling.local import LocalModel

__all__ = ["save_model"]


def save_model(local: LocalModel, out: Path, dtype: torch.dtype, *, force: bool = False) -> None:
    """Write model and tokenizer as an ordinary Hugging Face folder, whole or not at all.

    Raises:
        OutputError: ``out`` exists and ``force`` is off, cannot be written, or the disk is full.
    """
    with new_folder(out, force=force) as scratch:
        try:
            torch.nn.Module.to(local.model, dtype)  # transformers annotates "to" wrongly
            local.model.save_pretrained(scratch)
            local.tokenizer.save_pretrained(scratch)
        except SafetensorError as error:  # a full disk
            raise OutputError(f"cannot write {out}: {error}") from error
