"""From trained weights to those that are published: averaged with the original ones if asked for, then rounded."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from insignia.embedding.regularizers import Original
from insignia.modeling.shards import whole

__all__ = ["Publishing"]


class Publishing:
    """How trained weights are published: ``strength`` is the share of the original ones, ``dtype`` is the checkpoint's."""

    def __init__(self, dtype: torch.dtype, original: Original | None = None, strength: float = 0.0) -> None:
        self._dtype = dtype
        self._original = original
        self._strength = strength

    @torch.no_grad()
    def apply(self, model: nn.Module) -> None:
        """Put the weights to publish in the place of the trained ones."""
        for name, weight in model.named_parameters():
            if weight.requires_grad:
                with whole(weight, change=True) as values:
                    values.copy_(self._published(name, values))

    @contextlib.contextmanager
    def shown(self, model: nn.Module) -> Iterator[None]:
        """Compute with the weights to publish inside the block.

        Each module takes them as its forward pass begins and gives them back as it ends, so only one module's exist at a time.
        """
        hooks = []
        names = {id(weight): name for name, weight in model.named_parameters()}  # a tied weight has one of its names
        for module in model.modules():
            changed = {
                part: names[id(weight)] for part, weight in module.named_parameters(recurse=False) if self._changes(weight)
            }
            if changed:
                swap = _Swap(changed, self._published)
                hooks.append(module.register_forward_pre_hook(swap.take))
                hooks.append(module.register_forward_hook(swap.give_back, prepend=True, always_call=True))
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _changes(self, weight: Tensor) -> bool:
        return weight.requires_grad and (bool(self._strength) or weight.dtype != self._dtype)

    def _published(self, name: str, weight: Tensor) -> Tensor:
        if self._strength and self._original is not None:
            weight = weight.lerp(self._original(name, weight), self._strength)
        return weight.to(self._dtype).to(weight.dtype)


class _Swap:
    """Hooks that exchange weights of one module, named as the model names them, for those to publish, and back."""

    def __init__(self, names: Mapping[str, str], published: Callable[[str, Tensor], Tensor]) -> None:
        self._names = names
        self._published = published
        self._trained: list[tuple[Tensor, Tensor]] = []

    def take(self, module: nn.Module, _inputs: Any) -> None:
        for part, name in self._names.items():
            weight = module.get_parameter(part)
            self._trained.append((weight, weight.data))
            weight.data = self._published(name, weight.data)

    def give_back(self, _module: nn.Module, _inputs: Any, _output: Any) -> None:
        while self._trained:
            weight, trained = self._trained.pop()
            weight.data = trained
