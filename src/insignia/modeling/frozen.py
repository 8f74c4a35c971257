"""The model as it was before training, to compare with."""

import contextlib
import copy
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, cast

from peft import PeftModel
from transformers import PreTrainedModel

from insignia.modeling.block_adapters import BlockAdapters, adapters_of

__all__ = ["frozen_base"]


def frozen_base(model: PreTrainedModel) -> Callable[[], contextlib.AbstractContextManager[PreTrainedModel]]:
    """A context manager for the model as it is now: a copy, or the same model with its adapters disabled."""
    maybe_wrapped: Any = model  # PeftModel is not a subclass
    if isinstance(maybe_wrapped, PeftModel):
        return partial(_without_adapters, maybe_wrapped)
    blocks = adapters_of(model)
    if blocks is not None:
        return partial(_without_blocks, model, blocks)
    kept = copy.deepcopy(model).eval().requires_grad_(requires_grad=False)
    return lambda: contextlib.nullcontext(kept)


@contextlib.contextmanager
def _without_adapters(model: PeftModel) -> Iterator[PreTrainedModel]:
    training = model.training
    with model.disable_adapter():
        try:
            yield cast(PreTrainedModel, model.eval())
        finally:
            model.train(training)


@contextlib.contextmanager
def _without_blocks(model: PreTrainedModel, blocks: BlockAdapters) -> Iterator[PreTrainedModel]:
    training = model.training
    with blocks.on(None):
        try:
            yield model.eval()
        finally:
            model.train(training)
