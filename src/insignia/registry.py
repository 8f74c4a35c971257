"""Interchangeable parts by name: strategies, embedding methods, later attacks.

A registry maps a name to ``"module:Class"`` and imports the module only when the part is asked for. Other packages add
parts through an entry point group; built-in parts take the same path and have no privileges.
"""

import difflib
import importlib
import inspect
from collections.abc import Iterable, Mapping
from importlib.metadata import entry_points
from typing import Any, Generic, TypeVar, cast

from pydantic import BaseModel, ValidationError

from insignia.errors import InputError

__all__ = ["Registry", "did_you_mean", "explain", "reason"]

_T = TypeVar("_T", bound=BaseModel)
_LIMITS = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}


class Registry(Generic[_T]):
    """Names of one kind of part, each a frozen pydantic class that is its own configuration."""

    def __init__(self, kind: str, builtin: Mapping[str, str], *, group: str) -> None:
        self._kind = kind
        self._builtin = dict(builtin)
        self._group = group

    def names(self) -> list[str]:
        """All known names, sorted; imports none of the parts."""
        return sorted({*self._builtin, *(entry.name for entry in entry_points(group=self._group))})

    def builtin(self) -> list[str]:
        """The names that come with insignia, sorted; their options have flags of their own."""
        return sorted(self._builtin)

    def lines(self) -> dict[str, str]:
        """Name -> the first line of the part's docstring; imports the parts."""
        return {name: (inspect.getdoc(self.get(name)) or "").partition("\n")[0].replace("``", "") for name in self.names()}

    def get(self, name: str) -> type[_T]:
        """The class of that name; an unknown name raises InputError with the nearest known one."""
        target = self._builtin.get(name) or next((e.value for e in entry_points(group=self._group, name=name)), None)
        if target is None:
            raise InputError(
                f"unknown {self._kind} {name!r}.{did_you_mean(name, self.names())} Available: {', '.join(self.names())}."
            )
        module, _, attribute = target.partition(":")
        return cast(type[_T], getattr(importlib.import_module(module), attribute))

    def build(self, spec: Mapping[str, Any]) -> _T:
        """The part that a spec such as ``{"name": "inverse_nucleus", "nucleus_k": 3}`` describes.

        ``build(part.spec()) == part`` for every part.
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
    """`` Did you mean ...?`` with the known name that is most like this one, to follow a sentence; empty where none is like."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


def explain(error: ValidationError, known: Iterable[str] = ()) -> str:
    """A pydantic error as one line of field names and reasons, without the offending values (they may be secret).

    A field that does not exist is told the nearest of the ``known`` ones.
    """
    return "; ".join(
        f"{'.'.join(map(str, item['loc'])) or 'value'}: {reason(item)}{_meant(item, known)}"
        for item in error.errors(include_input=False, include_url=False)
    )


def reason(item: Any) -> str:
    """What is wrong, of one of the errors in a pydantic error, without the name and the value."""
    limits = item.get("ctx", {})
    wanted = [
        f"expected {words} {limits[name]:g}" for name, words in _LIMITS.items() if isinstance(limits.get(name), int | float)
    ]
    return f"{'; '.join(wanted) or item['msg']}{_of_shares(limits)}"


def _meant(item: Any, known: Iterable[str]) -> str:
    return did_you_mean(str(item["loc"][-1]), known) if item["type"] == "extra_forbidden" else ""


def _of_shares(limits: Mapping[str, Any]) -> str:
    """Percentages are what people give where the largest number is 1, or a little less."""
    return " (a share: 95 % is 0.95)" if any(0.5 < limits.get(name, 0) <= 1 for name in ("le", "lt")) else ""
