"""Dtypes of stored weights."""

import torch

__all__ = ["DTYPES"]

DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
"""Dtypes for arithmetic, by safetensors' names. Quantized and integer tensors are only copied."""
