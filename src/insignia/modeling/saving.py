"""Write a model in memory as a Hugging Face folder."""

import shutil
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor

from insignia.checkpoints import INDEX
from insignia.errors import OutputError
from insignia.files import new_folder, read_json, write_json
from insignia.modeling.bars import without_bars
from insignia.modeling.cards import LICENCES, Papers
from insignia.modeling.local import LocalModel
from insignia.modeling.shards import gathered_state, is_split

__all__ = ["copy_companions", "gathered_weights", "save_model", "store_as"]

_COPIED = {".json", ".jinja", ".txt", ".model", ".tiktoken", ".md"}


@without_bars()
def save_model(
    local: LocalModel,
    out: Path,
    *,
    papers: Papers | None = None,
    force: bool = False,
    gathered: Mapping[str, Tensor] | None = None,
) -> None:
    """Write model and tokenizer as an ordinary Hugging Face folder, with its papers if given, whole or not at all.

    The weights are rounded to the checkpoint's dtype, in the file and in memory. Those of a model that is split over processes
    are given, as ``gathered_weights`` has them.

    Raises:
        OutputError: ``out`` exists and ``force`` is off, cannot be written, or the disk is full.
    """
    with new_folder(out, force=force) as scratch:
        try:
            if gathered is None:
                _write_rounded(local, scratch)
            else:
                local.model.save_pretrained(scratch, state_dict=dict(gathered))
                _say_dtype(scratch / "config.json", local.stored_dtype)
            local.tokenizer.save_pretrained(scratch)
            (papers or Papers()).write(scratch)
        except SafetensorError as error:  # a full disk
            raise OutputError(f"cannot write {out}: {error}") from error


def gathered_weights(local: LocalModel) -> Mapping[str, Tensor] | None:
    """What ``save_model`` needs of a model that is split over processes, in the first of them; every process calls this."""
    return gathered_state(local.model, local.stored_dtype) if is_split(local.model) else None


def _write_rounded(local: LocalModel, folder: Path) -> None:
    before = local.model.dtype
    store_as(local.model, local.stored_dtype)
    try:
        local.model.save_pretrained(folder)
    finally:
        store_as(local.model, before)


def _say_dtype(config: Path, dtype: torch.dtype) -> None:
    """Write into a configuration what the weights are stored in; transformers writes what they are trained in."""
    said = {**read_json(config), "dtype": str(dtype).removeprefix("torch.")}
    write_json(config, said)


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
