"""The bundled model: a Llama of 4.6 million parameters, trained on the English text of Python's standard library.

The demo and the tests use it. :mod:`insignia.starter.train` trains it; ``training.json`` beside the weights has the settings.
"""

from pathlib import Path

from insignia.starter.corpus import heldout_paragraphs, source_code

__all__ = ["heldout_paragraphs", "model_folder", "source_code"]


def model_folder() -> Path:
    """Folder of weights and tokenizer, in the Hugging Face layout."""
    return Path(__file__).parent / "model"
