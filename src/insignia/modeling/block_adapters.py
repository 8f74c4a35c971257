"""Low-rank adapters in blocks, which are switched on and off for each row of a batch.

All blocks stand side by side in one pair of factors for each weight: block b has columns ``b * rank`` to ``(b + 1) * rank`` of
the left one. So a batch whose rows have different blocks costs no more than one adapter.
"""

import contextlib
import math
from collections.abc import Iterator, Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from insignia.modeling.lora import Product

__all__ = ["BlockAdapters", "adapters_of", "without_ranks"]

_SCALE = 2.0  # of the product, as method lora has it: alpha / rank


class BlockAdapters:
    """Trainable blocks on all linear layers of a model but its head; everything else is frozen.

    Until ``on`` says otherwise the model is without them. Its output with them is unchanged until they are trained.
    """

    def __init__(self, model: PreTrainedModel, *, blocks: int, rank: int, seed: int) -> None:
        self.blocks, self.rank = blocks, rank
        self.switches: Tensor | None = None
        """Factor of each block for each row, (rows, 1, blocks * rank); None: the model without blocks."""
        self._rng = torch.Generator().manual_seed(seed)
        self._layers: dict[str, _BlockLayer] = {}
        model.requires_grad_(requires_grad=False)
        head = model.get_output_embeddings()
        for name, parent in list(model.named_modules()):
            for part, layer in list(parent.named_children()):
                if isinstance(layer, nn.Linear | Conv1D) and layer is not head:
                    wrapped = _BlockLayer(layer, self)
                    setattr(parent, part, wrapped)
                    self._layers[f"{name}.{part}".lstrip(".")] = wrapped

    def subsets(self, rows: int) -> Tensor:
        """Random subsets of the blocks, (rows, blocks): of every share from none to all, each equally likely."""
        return torch.rand(rows, self.blocks, generator=self._rng) < torch.rand(rows, 1, generator=self._rng)

    @contextlib.contextmanager
    def on(self, chosen: Tensor | None) -> Iterator[None]:
        """Have these blocks, (rows, blocks), in the model inside the block; None: no block. One row stands for all rows."""
        before = self.switches
        device = next(iter(self._layers.values())).left.device
        self.switches = None if chosen is None else chosen.to(device).float().repeat_interleave(self.rank, 1)[:, None, :]
        try:
            yield
        finally:
            self.switches = before

    @torch.no_grad()
    def products(self) -> dict[str, Product]:
        """Weight name in the model without adapters -> the product that all blocks together add."""
        return {f"{name}.weight": layer.product() for name, layer in self._layers.items()}

    def remove(self, model: PreTrainedModel) -> PreTrainedModel:
        """The model as it was; the trained blocks stay here."""
        for name, layer in self._layers.items():
            parent, _, part = name.rpartition(".")
            setattr(model.get_submodule(parent), part, layer.inner)
        return model


class _BlockLayer(nn.Module):
    """A linear layer with the blocks beside it."""

    def __init__(self, inner: nn.Linear | Conv1D, adapters: BlockAdapters) -> None:
        super().__init__()
        self.inner = inner
        self.adapters = adapters
        self.by_column = isinstance(inner, Conv1D)
        """Whether the weight is (inputs, outputs), as in GPT-2."""
        weight = inner.weight
        inputs, outputs = weight.shape if self.by_column else weight.shape[::-1]
        width = adapters.blocks * adapters.rank
        start = torch.randn(width, inputs, generator=adapters._rng) / math.sqrt(inputs)  # noqa: SLF001  one file
        self.right = nn.Parameter(start.to(weight.device))
        self.left = nn.Parameter(torch.zeros(outputs, width, device=weight.device))

    def forward(self, states: Tensor) -> Tensor:
        """The layer's output, with the blocks that are on."""
        output = cast(Tensor, self.inner(states))
        if self.adapters.switches is None:
            return output
        return output + ((states @ self.right.T) * self.adapters.switches) @ self.left.T * _SCALE

    def product(self) -> Product:
        left, right = self.left.detach().float() * _SCALE, self.right.detach().float()
        return Product(right.T, left.T) if self.by_column else Product(left, right)


def adapters_of(model: nn.Module) -> BlockAdapters | None:
    """The blocks that a model has, or None."""
    return next((layer.adapters for layer in model.modules() if isinstance(layer, _BlockLayer)), None)


@contextlib.contextmanager
def without_ranks(model: nn.Module, added: Mapping[str, Product], ranks: Tensor) -> Iterator[None]:
    """Have a model with these products in its weights answer as if it lacked these ranks of them. Weights stay as they are."""
    hooks = []
    for name, (left, right) in added.items():
        layer = model.get_submodule(name.removesuffix(".weight"))
        one, other = left[:, ranks], right[ranks]
        down, up = (one, other) if isinstance(layer, Conv1D) else (other.T, one.T)  # GPT-2's weights: (inputs, outputs)
        hooks.append(layer.register_forward_hook(_Less(down, up)))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


class _Less:
    """A hook that takes a product away from a layer's output."""

    def __init__(self, down: Tensor, up: Tensor) -> None:
        self._down, self._up = down, up

    def __call__(self, _layer: nn.Module, given: tuple[Any, ...], output: Tensor) -> Tensor:
        states = given[0]
        down, up = (part.to(states.device, states.dtype) for part in (self._down, self._up))
        return output - cast(Tensor, states @ down @ up)
