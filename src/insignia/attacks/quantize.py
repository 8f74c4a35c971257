"""Quantization by the libraries that others use."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from insignia.attacks.base import WeightAttack
from insignia.errors import MissingExtraError
from insignia.progress import AUTO, Progress

if TYPE_CHECKING:
    from torch import Tensor

    from insignia.attacks.rewriting import Change, WeightsReport
    from insignia.checkpoints import Entry
    from insignia.modeling.sources import Source

__all__ = ["Quantize"]

_INPUTS_FIRST = re.compile(r"(^|\.)(c_attn|c_proj|c_fc)\.weight$")  # of GPT-2, whose outputs share no row


class Quantize(WeightAttack):
    """Quantize each matrix by a library, and write the values that its codes stand for, in the checkpoint's dtype.

    q8_0 to q4_0 are types of files for llama.cpp (extra ``gguf``); embeddings and head get 8 bits, as in files of
    ``insignia export``. int8, nf4 and fp4 are those of bitsandbytes (extra ``bnb``), which leaves embeddings and head alone.
    """

    name: Literal["quantize"] = "quantize"
    outtype: Literal["q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "int8", "nf4", "fp4"] = "q4_0"
    """Type of the stored matrices."""

    def apply(
        self, model: "Source", out: Path, *, seed: int = 0, device: str = "auto", progress: Progress = AUTO
    ) -> "WeightsReport":
        """See ``WeightAttack.apply``.

        Raises:
            MissingExtraError: the library of this type is not installed.
        """
        from insignia.attacks.rewriting import rewrite

        change = _by_bitsandbytes(self.outtype) if self.outtype in ("int8", "nf4", "fp4") else _by_gguf(self.outtype)
        return rewrite(model, out, change, attack=self, progress=progress)


def _by_gguf(outtype: str) -> "Change":
    import torch

    from insignia.attacks.rewriting import is_linear
    from insignia.gguf import OUTTYPES, round_trip
    from insignia.vectors.alignment import is_embedding

    def change(entry: "Entry", values: "Tensor") -> "Tensor | None":
        end = is_embedding(entry.name)
        if not (end or is_linear(entry)):
            return None
        by_output = values.T if _INPUTS_FIRST.search(entry.name) else values
        found = torch.from_numpy(round_trip(by_output.float().contiguous().numpy(), OUTTYPES[outtype], end=end))
        return found.T if by_output is not values else found

    return change


def _by_bitsandbytes(kind: str) -> "Change":
    from insignia.attacks.rewriting import is_linear

    try:
        import bitsandbytes.functional as library
    except ImportError:
        raise MissingExtraError(f"quantizing to {kind}", "bnb") from None

    def change(entry: "Entry", values: "Tensor") -> "Tensor | None":
        if not is_linear(entry):
            return None
        by_output = (values.T if _INPUTS_FIRST.search(entry.name) else values).contiguous()
        found = _coded(library, kind, by_output.float())
        return found.T if _INPUTS_FIRST.search(entry.name) else found

    return change


def _coded(library: Any, kind: str, values: "Tensor") -> "Tensor":
    if kind == "int8":  # one scale a row, from float16
        codes, scales, _ = library.int8_vectorwise_quant(values.half())
        found: Tensor = library.int8_vectorwise_dequant(codes, scales).float()
    else:
        # As one row: its CPU kernel misreads rows that are shorter than a block. Blocks run over the rows anyhow.
        codes, state = library.quantize_4bit(values.reshape(1, -1), quant_type=kind)
        found = library.dequantize_4bit(codes, state)
    return found.view(values.shape)
