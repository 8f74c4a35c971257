"""Write a model in memory as a Hugging Face folder."""

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from insignia.checkpoints import INDEX, Checkpoint, CheckpointWriter
from insignia.errors import OutputError
from insignia.files import new_folder, read_json, write_json
from insignia.modeling.bars import without_bars
from insignia.modeling.cards import LICENCES, Papers
from insignia.modeling.dtypes import DTYPES
from insignia.modeling.local import LocalModel
from insignia.modeling.process_group import process_rank
from insignia.modeling.shards import each_whole, is_split

__all__ = ["copy_companions", "save_model", "store_as"]

_Whole = tuple[tuple[str, ...], Tensor]
_COPIED = {".json", ".jinja", ".txt", ".model", ".tiktoken", ".md"}


@without_bars()
def save_model(local: LocalModel, out: Path, *, papers: Papers | None = None, force: bool = False) -> None:
    """Write model and tokenizer as an ordinary Hugging Face folder, with its papers if given, whole or not at all.

    The weights are rounded to the checkpoint's dtype, in the file and in memory. Of several processes the first writes; where
    they hold a part of the weights each, all of them call this.

    Raises:
        OutputError: ``out`` exists and ``force`` is off, cannot be written, or the disk is full.
    """
    weights = each_whole(local.model, local.stored_dtype) if is_split(local.model) else None
    try:
        if process_rank()[0] == 0:
            _write_folder(local, out, weights, papers or Papers(), force=force)
    finally:
        for _ in weights or ():  # each process gives its part of every weight, also if the first cannot write
            pass


def _write_folder(local: LocalModel, out: Path, weights: Iterator[_Whole] | None, papers: Papers, *, force: bool) -> None:
    with new_folder(out, force=force) as scratch:
        try:
            if weights is None:
                _write_rounded(local, scratch)
            else:
                _write_gathered(local, scratch, weights)
                _say_dtype(scratch / "config.json", local.stored_dtype)
            local.tokenizer.save_pretrained(scratch)
            papers.write(scratch)
        except SafetensorError as error:  # a full disk
            raise OutputError(f"cannot write {out}: {error}") from error


def _write_gathered(local: LocalModel, folder: Path, weights: Iterator[_Whole]) -> None:
    """Write each weight when it has come, into the shards that the base has; all at once if its files name others."""
    headers = _base_shards(local)
    if headers is None:
        local.model.save_pretrained(folder, state_dict={name: values for names, values in weights for name in names})
        return
    with CheckpointWriter(folder, headers) as writer:
        for names, values in weights:
            for name in writer.entries.keys() & set(names):
                writer.write(name, 0, values.contiguous().flatten().view(torch.uint8).numpy().data)
    local.model.config.save_pretrained(folder)
    if local.model.can_generate():
        local.model.generation_config.save_pretrained(folder)


def _base_shards(local: LocalModel) -> Mapping[str, bytes] | None:
    """The headers of the base's shards, if they name exactly the weights that the model has, in the dtype to be stored."""
    if local.source is None or not Path(local.source).is_dir():
        return None
    with Checkpoint(local.source) as base:
        tied: dict[int, list[str]] = {}
        state = local.model.state_dict(keep_vars=True)
        for name, weight in state.items():
            tied.setdefault(id(weight), []).append(name)
        alike = all(
            name in state and DTYPES.get(entry.dtype) == _stored(state[name], local) and entry.shape == _shape(state[name])
            for name, entry in base.entries.items()
        )
        complete = all(any(name in base.entries for name in names) for names in tied.values())
        return base.headers if alike and complete else None


def _stored(weight: Tensor, local: LocalModel) -> torch.dtype:
    return local.stored_dtype if isinstance(weight, torch.nn.Parameter) else weight.dtype


def _shape(weight: Any) -> tuple[int, ...]:
    return tuple(getattr(weight, "ds_shape", weight.shape))  # ZeRO stage 3 leaves an empty tensor in its place


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
