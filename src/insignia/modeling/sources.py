"""What a caller may give for a model: a folder, a hub id, ``starter``, a ``LocalModel``, or a (model, tokenizer) pair."""

import contextlib
import copy
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from insignia.checkpoints import Checkpoint
from insignia.errors import InputError
from insignia.modeling.cards import Origin
from insignia.modeling.causality import refuse_bidirectional
from insignia.modeling.devices import resolve_device
from insignia.modeling.hub import text_files
from insignia.modeling.hub_checkpoint import HubCheckpoint
from insignia.modeling.loading import checkpoint_folder, dtype_named, resolve
from insignia.modeling.local import LocalModel
from insignia.modeling.saving import save_model, store_as
from insignia.suspects.base import Suspect

__all__ = [
    "ModelSuspect",
    "Source",
    "local_model",
    "model_files",
    "opened_files",
    "origin_of",
    "source_name",
    "training_copy",
]

Source: TypeAlias = str | os.PathLike[str] | LocalModel | tuple[PreTrainedModel, PreTrainedTokenizerBase]


def local_model(source: Source, *, device: str = "auto", dtype: str = "auto") -> LocalModel:
    """The model, loaded where a folder or a hub id names it; one in memory is used as it is.

    Raises:
        InputError: it is none of these, or there is no such folder.
        ModelError: it cannot be loaded, or is not a causal language model.
    """
    if isinstance(source, LocalModel):
        return source
    if isinstance(source, str | os.PathLike):
        return LocalModel(source if isinstance(source, str) else Path(source), device=device, dtype=dtype)
    pair: Any = source  # callers are not all type-checked
    if not isinstance(pair, tuple) or len(pair) != 2 or not isinstance(pair[0], PreTrainedModel):
        raise InputError(
            f"a {type(pair).__name__} is not a model; expected a folder, a hub id, 'starter', a LocalModel, or the pair "
            "(model, tokenizer) of transformers"
        )
    model, tokenizer = pair
    local = LocalModel.of(model, tokenizer, name=type(model).__name__)
    refuse_bidirectional(model, local.name)
    return local


def training_copy(source: Source, *, device: str, dtype: str) -> LocalModel:
    """A model to be trained. One in memory is copied, so that the caller's stays as it is."""
    if isinstance(source, str | os.PathLike):
        return local_model(source, device=device, dtype=dtype)
    given = local_model(source)
    local = given.wrapping(copy.deepcopy(given.model))
    store_as(local.model, local.stored_dtype if dtype == "checkpoint" else dtype_named(dtype, "", local.model.device))
    if device != "auto":
        local.model.to(resolve_device(device))  # type: ignore[arg-type]  # transformers' own annotation of "to" is wrong
    local.model.requires_grad_(requires_grad=True)
    return local


@contextlib.contextmanager
def model_files(source: Source) -> Iterator[Path]:
    """The folder of a model's files, for stages that read tensor by tensor; one in memory is written to a temporary folder."""
    if isinstance(source, str | os.PathLike):
        yield checkpoint_folder(source if isinstance(source, str) else Path(source))
        return
    with tempfile.TemporaryDirectory(prefix="insignia-") as folder:
        save_model(local_model(source), Path(folder) / "model")
        yield Path(folder) / "model"


@contextlib.contextmanager
def opened_files(source: Source, *, stream: bool = False) -> Iterator[Checkpoint]:
    """A model's files, opened. With ``stream``, the weights of a hub model are read from the hub and are not downloaded."""
    if stream and isinstance(source, str) and not Path(found := resolve(source)).is_dir():
        with HubCheckpoint(found) as checkpoint:
            yield checkpoint
        return
    with model_files(source) as folder, Checkpoint(folder) as checkpoint:
        yield checkpoint


def origin_of(source: Source) -> Origin:
    """The folder with a model's card and licence, if there is one, and its hub id, if it has one."""
    named = source if isinstance(source, str | os.PathLike) else local_model(source).source
    if named is None:
        return Origin(None, None)
    found = resolve(named if isinstance(named, str) else Path(named))
    return Origin(Path(found), None) if Path(found).is_dir() else Origin(text_files(found), found)


def source_name(source: Source) -> str:
    """What to call the model in reports and errors."""
    return str(source) if isinstance(source, str | os.PathLike) else local_model(source).name


class ModelSuspect(Suspect):
    """A model on this machine, asked by text."""

    name: Literal["model"] = "model"
    source: Annotated[str, Field(min_length=1)]
    """Folder, hub id or ``starter``."""
    device: str = "auto"
    dtype: str = "auto"

    def open(self) -> LocalModel:
        """Load it."""
        return LocalModel(self.source, device=self.device, dtype=self.dtype)
