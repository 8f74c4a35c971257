"""The bundled model: a 4.6-million-parameter Llama trained on the English that every Python carries.

It makes keys on a machine that has no other model, carries the demo and the tests, and gives held-out text for measuring
what a mark costs. ``training.json`` beside the weights says how it was trained; :mod:`insignia.starter.train` is the script.
"""

from pathlib import Path

from insignia.starter.corpus import heldout_paragraphs, source_code

__all__ = ["heldout_paragraphs", "model_folder", "source_code"]


def model_folder() -> Path:
    """The folder of the weights and the tokenizer, in the Hugging Face layout."""
    return Path(__file__).parent / "model"
