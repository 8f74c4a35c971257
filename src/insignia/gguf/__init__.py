"""A model folder as one GGUF file, which llama.cpp, Ollama and their like serve: ``insignia export --format gguf``.

:mod:`insignia.gguf.architectures` knows what llama.cpp calls a model's numbers and tensors, :mod:`insignia.gguf.tokenizers`
what it makes of a tokenizer, and :mod:`insignia.gguf.convert` writes the file. What llama.cpp would compute or split otherwise
than transformers is refused.
"""

from insignia.errors import MissingExtraError

try:
    import gguf as _gguf  # noqa: F401  the library; asked for here, so that no module below has to
except ModuleNotFoundError:
    raise MissingExtraError("writing a GGUF file", "gguf") from None

from insignia.gguf.convert import OUTTYPES, GgufReport, export_gguf

__all__ = ["OUTTYPES", "GgufReport", "export_gguf"]
