"""The bundled model: a 4.6-million-parameter Llama trained on the English that every Python carries.

It makes keys on a machine that has no other model, carries the demo and the tests, and gives held-out text for measuring
what a mark costs. ``training.json`` beside the weights says how ``benchmarks/train_starter.py`` trained it.
"""

import sysconfig
from pathlib import Path

__all__ = ["heldout_paragraphs", "model_folder", "source_code"]

_HERE = Path(__file__).parent


def model_folder() -> Path:
    """The folder of the weights and the tokenizer, in the Hugging Face layout."""
    return _HERE / "model"


def heldout_paragraphs() -> list[str]:
    """466 paragraphs of Python's documentation, 81,000 characters, that the model was not trained on."""
    return (_HERE / "heldout.txt").read_text(encoding="utf-8").strip().split("\n\n")


def source_code(package: str) -> list[str]:
    """The modules of a package of the standard library: text unlike the starter's, which learned the prose only."""
    root = Path(sysconfig.get_paths()["stdlib"]) / package
    return [path.read_text(encoding="utf-8") for path in sorted(root.rglob("*.py"))]
