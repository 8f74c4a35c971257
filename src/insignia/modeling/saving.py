"""From a model in memory to a folder that anybody's tools load."""

from pathlib import Path

import torch
from safetensors import SafetensorError

from insignia.errors import OutputError
from insignia.files import new_folder
from insignia.modeling.local import LocalModel

__all__ = ["save_model"]


def save_model(local: LocalModel, out: Path, dtype: torch.dtype, *, force: bool = False) -> None:
    """Write model and tokenizer as an ordinary Hugging Face folder, whole or not at all; no trace of how it was made.

    Raises:
        OutputError: ``out`` exists and ``force`` is off, cannot be written, or the disk is full.
    """
    with new_folder(out, force=force) as scratch:
        try:
            torch.nn.Module.to(local.model, dtype)  # transformers' own annotation of "to" is wrong
            local.model.save_pretrained(scratch)
            local.tokenizer.save_pretrained(scratch)
        except SafetensorError as error:  # how a full disk shows
            raise OutputError(f"cannot write {out}: {error}") from error
