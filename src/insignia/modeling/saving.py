"""Write a model in memory as a Hugging Face folder."""

import shutil
from pathlib import Path

import torch
from safetensors import SafetensorError

from insignia.checkpoints import INDEX
from insignia.errors import OutputError
from insignia.files import new_folder
from insignia.modeling.bars import without_bars
from insignia.modeling.cards import LICENCES, Papers
from insignia.modeling.local import LocalModel

__all__ = ["copy_companions", "save_model", "store_as"]

_COPIED = {".json", ".jinja", ".txt", ".model", ".tiktoken", ".md"}


@without_bars()
def save_model(local: LocalModel, out: Path, *, papers: Papers | None = None, force: bool = False) -> None:
    """Write model and tokenizer as an ordinary Hugging Face folder, with its papers if given, whole or not at all.

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
            (papers or Papers()).write(scratch)
        except SafetensorError as error:  # a full disk
            raise OutputError(f"cannot write {out}: {error}") from error
        finally:
            store_as(local.model, before)


def store_as(model: torch.nn.Module, dtype: torch.dtype) -> None:
    """Keep the weights in another dtype. Buffers stay: rotary frequencies rounded to 16 bits are other frequencies."""
    for parameter in model.parameters():
        parameter.data = parameter.data.to(dtype)


def copy_companions(source: Path, folder: Path) -> None:
    """Copy what goes with the weights: configuration, tokenizer, templates, license and model card, and no other files."""
    for path in source.iterdir():
        if path.is_file() and path.name != INDEX and (path.suffix in _COPIED or path.stem in LICENCES):
            shutil.copyfile(path, folder / path.name)
    if (source / INDEX).is_file():
        shutil.copyfile(source / INDEX, folder / INDEX)
