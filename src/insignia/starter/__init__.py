"""The bundled model: a Llama of 4.6 million parameters, trained on the English text of Python's standard library.

The demo and the tests use it. ``benchmarks/train_starter.py`` trains it; ``training.json`` beside the weights has the settings.
"""

import sysconfig
from pathlib import Path

__all__ = ["heldout_paragraphs", "model_folder", "source_code"]

_HERE = Path(__file__).parent


def model_folder() -> Path:
    """Folder of weights and tokenizer, in the Hugging Face layout."""
    return _HERE / "model"


def heldout_paragraphs() -> list[str]:
    """466 paragraphs of Python's documentation, 81,000 characters, that the model was not trained on."""
    return (_HERE / "heldout.txt").read_text(encoding="utf-8").strip().split("\n\n")


def source_code(package: str) -> list[str]:
    """Source code of a package of the standard library: text that the starter was not trained on."""
    root = Path(sysconfig.get_paths()["stdlib"]) / package
    return [path.read_text(encoding="utf-8") for path in sorted(root.rglob("*.py"))]
