"""Registries of strategies, embedding methods and other parts.

A registry maps a name to ``"module:Class"`` and imports the module when the part is first used. Other packages add parts
through an entry point group.
"""

import contextlib
import difflib
import importlib
import inspect
import os
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import entry_points
from typing import Any, Generic, TypeVar, cast

from pydantic import BaseModel, ValidationError

from insignia.errors import FormatError, InputError

__all__ = ["Registry", "did_you_mean", "errors_about", "explain", "reason"]

_T = TypeVar("_T", bound=BaseModel)
_LIMITS = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}


class Registry(Generic[_T]):
    """The parts of one kind, by name."""

    def __init__(self, kind: str, builtin: Mapping[str, str], *, group: str) -> None:
        self._kind = kind
        self._builtin = dict(builtin)
        self._group = group

    def names(self) -> list[str]:
        """Return all known names, sorted, without importing the parts."""
        return sorted({*self._builtin, *(entry.name for entry in entry_points(group=self._group))})

    def builtin(self) -> list[str]:
        """Return the names of the built-in parts, sorted."""
        return sorted(self._builtin)

    def lines(self) -> dict[str, str]:
        """Return name -> first line of the part's docstring. Imports all parts."""
        return {name: (inspect.getdoc(self.get(name)) or "").partition("\n")[0].replace("``", "") for name in self.names()}

    def get(self, name: str) -> type[_T]:
        """Return the class of that name.

        Raises:
            InputError: the name is unknown; the message suggests the nearest known name.
        """
        target = self._builtin.get(name) or next((e.value for e in entry_points(group=self._group, name=name)), None)
        if target is None:
            raise InputError(
                f"unknown {self._kind} {name!r}.{did_you_mean(name, self.names())} Available: {', '.join(self.names())}."
            )
        module, _, attribute = target.partition(":")
        return cast(type[_T], getattr(importlib.import_module(module), attribute))

    def build(self, spec: Mapping[str, Any]) -> _T:
        """Build a part from a spec such as ``{"name": "inverse_nucleus", "nucleus_k": 3}``.

        ``build(part.spec()) == part`` for every part.

        Raises:
            InputError: the name or an option is missing, unknown or out of range.
        """
        options = dict(spec)
        name = options.pop("name", None)
        if not isinstance(name, str):
            raise InputError(f"a {self._kind} needs a 'name'. Available: {', '.join(self.names())}.")
        try:
            return self.get(name)(**options)
        except ValidationError as error:
            fields = [field for field in self.get(name).model_fields if field != "name"]
            raise InputError(f"{self._kind} {name!r}: {explain(error, fields)}") from None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return " Did you mean 'NAME'?" for the most similar known name, or an empty text if none is similar."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


def explain(error: ValidationError, known: Iterable[str] = ()) -> str:
    """Return a pydantic error as one line of fields and reasons, without values, which may be secret.

    For an unknown field, the line suggests the nearest of the ``known`` fields.
    """
    return "; ".join(
        f"{'.'.join(map(str, item['loc'])) or 'value'}: {reason(item)}{_suggestion(item, known)}"
        for item in error.errors(include_input=False, include_url=False)
    )


@contextlib.contextmanager
def errors_about(path: str | os.PathLike[str]) -> Iterator[None]:
    """Name the file in the errors of the block. A pydantic error would quote secrets, so it becomes a FormatError."""
    try:
        yield
    except ValidationError as error:
        raise FormatError(f"{path}: {explain(error)}") from None
    except InputError as error:
        raise type(error)(f"{path}: {error}") from None


def reason(item: Any) -> str:
    """Return what is wrong in one error of a pydantic error, without field name and value."""
    limits = item.get("ctx", {})
    expected = [
        f"expected {words} {limits[name]:g}" for name, words in _LIMITS.items() if isinstance(limits.get(name), int | float)
    ]
    return f"{'; '.join(expected) or item['msg']}{_percent_hint(limits)}"


def _suggestion(item: Any, known: Iterable[str]) -> str:
    return did_you_mean(str(item["loc"][-1]), known) if item["type"] == "extra_forbidden" else ""


def _percent_hint(limits: Mapping[str, Any]) -> str:
    """Return a hint for a field whose limit is 1 or a little less, where people give percentages."""
    return " (a share: 95 % is 0.95)" if any(0.5 < limits.get(name, 0) <= 1 for name in ("le", "lt")) else ""
