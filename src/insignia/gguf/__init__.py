"""Convert a model folder to a GGUF file for llama.cpp and Ollama: ``insignia export --format gguf``.

A model that llama.cpp would compute or tokenize differently from transformers is refused.
"""

from insignia.errors import MissingExtraError

try:
    import gguf as _gguf  # noqa: F401  checked once for all modules of this package
except ModuleNotFoundError:
    raise MissingExtraError("writing a GGUF file", "gguf") from None

from insignia.gguf.convert import OUTTYPES, GgufReport, export_gguf, round_trip

__all__ = ["OUTTYPES", "GgufReport", "export_gguf", "round_trip"]
