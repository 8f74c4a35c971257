"""How large the inputs of each linear layer are on some data."""

import functools
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from insignia.attacks.conversations import load_conversations
from insignia.attacks.finetuning import training_rows
from insignia.errors import InputError
from insignia.modeling.local import LocalModel
from insignia.modeling.sources import Source, local_model
from insignia.progress import Progress

__all__ = ["InputNorms", "Inputs", "input_norms"]


class Inputs(NamedTuple):
    """Of one linear layer."""

    norms: Tensor
    """Root mean square of each input over all tokens, (inputs,)."""
    first: bool
    """Whether the weight is (inputs, outputs), as GPT-2 stores it, and not (outputs, inputs)."""


class InputNorms:
    """The inputs of a model's linear layers by the names of their weights in its files."""

    def __init__(self, found: dict[str, Inputs], prefix: str) -> None:
        self._prefix = f"{prefix}."
        self._found = {self._bare(name): inputs for name, inputs in found.items()}

    def of(self, name: str) -> Inputs | None:
        """The inputs of a weight; None if it is of no linear layer."""
        return self._found.get(self._bare(name))

    def _bare(self, name: str) -> str:
        """Files name tensors with the prefix of the base model or without."""
        return name.removeprefix(self._prefix)


@torch.inference_mode()
def input_norms(model: Source, data: str, max_rows: int, max_length: int, *, device: str, progress: Progress) -> InputNorms:
    """Run the model on rows of the data, one by one, so that no pads count.

    Raises:
        InputError: the data does not fill one row, or the model has no linear layers.
    """
    local = local_model(model, device=device)
    rows = training_rows(load_conversations(data, max_rows=max_rows, progress=progress), local, max_length, progress)[:max_rows]
    squares: dict[str, Tensor] = {}
    tokens = 0
    with _watched(local, squares), progress.bar("measuring inputs", len(rows), unit="rows") as advance:
        for row in rows:
            ids = torch.tensor([row.ids], device=local.model.device)
            local.model(input_ids=ids, use_cache=False)
            tokens += len(row.ids)
            advance(1)
    if not squares:
        raise InputError(f"{local.name} has no linear layers whose inputs can be measured; expected a decoder of transformers")
    layers = dict(local.model.named_modules())
    found = {
        f"{name}.weight": Inputs((square / tokens).sqrt().cpu(), isinstance(layers[name], Conv1D))
        for name, square in squares.items()
    }
    return InputNorms(found, local.model.base_model_prefix)


@contextmanager
def _watched(local: LocalModel, squares: dict[str, Tensor]) -> Iterator[None]:
    """Within the block, add the squares of what each linear layer gets to ``squares``."""
    with ExitStack() as hooks:
        for name, layer in local.model.named_modules():
            if isinstance(layer, nn.Linear | Conv1D) and layer is not local.model.get_output_embeddings():
                hook = layer.register_forward_pre_hook(functools.partial(_add, squares, name))
                hooks.callback(hook.remove)
        yield


def _add(squares: dict[str, Tensor], name: str, _layer: nn.Module, inputs: tuple[Any, ...]) -> None:
    square = inputs[0].float().flatten(0, -2).square().sum(0)
    squares[name] = squares[name] + square if name in squares else square
