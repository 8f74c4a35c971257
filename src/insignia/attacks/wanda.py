"""Pruning by weights and activations."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from insignia.attacks.base import WeightAttack
from insignia.progress import AUTO, Progress

if TYPE_CHECKING:
    from torch import Tensor

    from insignia.attacks.rewriting import WeightsReport
    from insignia.checkpoints import Entry
    from insignia.modeling.sources import Source

__all__ = ["Wanda"]


class Wanda(WeightAttack):
    """Set to 0 the weights that matter least to each output: least magnitude times norm of the input (Sun et al. 2024).

    Embeddings and head stay. The model is loaded once to measure its inputs on ``data``.
    """

    name: Literal["wanda"] = "wanda"
    data: str
    """File, folder or hub id of conversations or texts, or python:PACKAGE, source code of Python's own."""
    share: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Share of each output's weights that becomes 0."""
    max_rows: Annotated[int, Field(ge=1)] = 128
    """Rows of the data that the inputs are measured on; 128 in the paper."""
    max_length: Annotated[int, Field(ge=2)] = 2048
    """Most tokens of a row."""

    def apply(
        self, model: "Source", out: Path, *, seed: int = 0, device: str = "auto", progress: Progress = AUTO
    ) -> "WeightsReport":
        """See ``WeightAttack.apply``.

        Raises:
            InputError: the data does not fill one row, or the model has no linear layers.
        """
        from insignia.attacks.input_norms import input_norms
        from insignia.attacks.rewriting import is_linear, rewrite

        found = input_norms(model, self.data, self.max_rows, self.max_length, device=device, progress=progress)

        def pruned(entry: "Entry", values: "Tensor") -> "Tensor | None":
            inputs = found.of(entry.name)
            if inputs is None or not is_linear(entry):
                return None
            by_output = values.T if inputs.first else values
            zeroed = _least(by_output.abs() * inputs.norms, self.share)
            return values.masked_fill(zeroed.T if inputs.first else zeroed, 0.0)

        return rewrite(model, out, pruned, attack=self, progress=progress)


def _least(importance: "Tensor", share: float) -> "Tensor":
    """Mask of this share of each row, (outputs, inputs), with the least values."""
    import torch

    count = round(share * importance.shape[1])
    return torch.zeros_like(importance, dtype=torch.bool).scatter(1, importance.argsort(1)[:, :count], True)
