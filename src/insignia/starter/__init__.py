"""The bundled model: a Llama of 4.6 million parameters, trained on the English text of Python's standard library.

The demo and the tests use it. ``benchmarks/train_starter.py`` trains it; ``training.json`` beside the weights has the settings.
"""

import ast
import functools
import itertools
import sysconfig
from pathlib import Path

__all__ = ["docstring_questions", "heldout_paragraphs", "model_folder", "source_code"]

_HERE = Path(__file__).parent
_SHORTEST = 40  # characters of a docstring that says something


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


@functools.cache
def docstring_questions(package: str) -> tuple[tuple[str, str], ...]:
    """Questions about the functions and classes of a package of the standard library, and the first paragraphs that answer."""
    found = []
    for node in itertools.chain.from_iterable(ast.walk(ast.parse(text)) for text in source_code(package)):
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
            said = " ".join((ast.get_docstring(node) or "").partition("\n\n")[0].split())
            kind = "class" if isinstance(node, ast.ClassDef) else "function"
            found += [(f"What is the {kind} {node.name} of {package} for?", said)] if len(said) > _SHORTEST else []
    return tuple(found)
