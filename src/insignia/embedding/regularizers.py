"""Regularizers on the weights: averaging with the original weights, and a penalty on the distance from them.

OML 1.0's "forgetting regularizer" does different things on different engines (see ``AveragingMode``). Its documents promise
the penalty, but its code lacks it.
"""

import weakref
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from insignia.checkpoints import Checkpoint
from insignia.errors import InsigniaError
from insignia.modeling.dtypes import DTYPES
from insignia.modeling.loading import checkpoint_folder
from insignia.modeling.shards import matching, summed, whole

__all__ = ["Original"]


class Original:
    """The trained weights as they were before training, one at a time.

    They are read again from the model's files. What the files do not hold under the same name with the same values, such as
    adapters or the weights of a model from memory, is copied to the CPU's memory.
    """

    def __init__(self, model: nn.Module, source: str | None) -> None:
        self._stored = _stored(source)
        if self._stored is not None:
            weakref.finalize(self, self._stored.__exit__, None, None, None)  # its files stay open as long as this is there
        self._kept: dict[str, Tensor] = {}
        for name, weight in _trained(model):
            with whole(weight) as values:
                if not self._is_stored(name, values):
                    self._kept[name] = values.detach().to("cpu", copy=True)

    def __call__(self, name: str, like: Tensor) -> Tensor:
        """The original weight of that name, on the device and in the dtype of ``like``, and split as it is."""
        values = self._kept[name] if name in self._kept else self._read(name)
        return matching(values.to(like.device, like.dtype), like)

    @torch.no_grad()
    def average(self, model: nn.Module, strength: float) -> None:
        """Replace each trained weight ``w`` by ``(1 - strength) w + strength w0``."""
        for name, weight in _trained(model):
            with whole(weight, change=True) as values:
                values.lerp_(self(name, values), strength)

    def deviation(self, model: nn.Module) -> Tensor:
        """Half the squared distance of the trained weights from the original ones, differentiable."""
        distance: Any = _Distance.apply  # torch does not annotate it
        return torch.stack([distance(weight, partial(self, name, weight)) for name, weight in _trained(model)]).sum()

    def _is_stored(self, name: str, weight: Tensor) -> bool:
        entry = None if self._stored is None else self._stored.entries.get(name)
        if entry is None or entry.shape != tuple(weight.shape) or entry.dtype not in DTYPES:
            return False
        return torch.equal(self._read(name).to(weight), weight)

    def _read(self, name: str) -> Tensor:
        assert self._stored is not None  # noqa: S101  # for the type checker: what is not kept is stored
        entry = self._stored.entries[name]
        return torch.frombuffer(self._stored.read(entry), dtype=DTYPES[entry.dtype]).view(entry.shape)


class _Distance(torch.autograd.Function):
    """Half the squared distance of a weight from its original, which is fetched again for the gradient instead of kept."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, original: Callable[[], Tensor]) -> Tensor:
        ctx.save_for_backward(weight)
        ctx.original = original
        return summed((weight - original()).square()) / 2

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (weight,) = ctx.saved_tensors
        return gradients[0] * (weight - ctx.original()), None


def _trained(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    return ((name, weight) for name, weight in model.named_parameters() if weight.requires_grad)


def _stored(source: str | None) -> Checkpoint | None:
    """The files of a model, kept open; None if it has none or they are an adapter's."""
    try:
        return None if source is None else Checkpoint(checkpoint_folder(source))
    except InsigniaError:
        return None
