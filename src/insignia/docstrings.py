"""What the fields of records are, from the docstrings under them: for help, the reference and a commented recipe.

pydantic can collect them too (``use_attribute_docstrings``), but for every record at its import, which would slow
``import insignia.verification`` by a third.
"""

import ast
import functools
import importlib
import inspect
import itertools
from collections.abc import Mapping

from pydantic import BaseModel

__all__ = ["sentence"]


def sentence(record: type[BaseModel], name: str) -> str:
    """What a field is, in a paragraph: its description, or else the docstring under it in the class or a parent."""
    if (text := record.model_fields[name].description) is None:
        found = (_fields(base.__module__).get((base.__qualname__, name)) for base in record.__mro__)
        text = next(filter(None, found), "")
    return " ".join(text.split()).replace("``", "")


@functools.cache
def _fields(module: str) -> Mapping[tuple[str, str], str]:
    """(class, field) -> the docstring under it."""
    try:
        tree = ast.parse(inspect.getsource(importlib.import_module(module)))
    except (OSError, TypeError, ImportError):  # no source: fields without a sentence
        return {}
    return {
        (record.name, field.target.id): inspect.cleandoc(text.value.value)
        for record in tree.body
        if isinstance(record, ast.ClassDef)
        for field, text in itertools.pairwise(record.body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant) and isinstance(text.value.value, str)
    }
