"""Interchangeable parts by name: strategies, methods, nulls, suspects, attacks.

A registry maps a name to ``"module:Class"`` and imports the module only when the part is asked for. A plug-in adds parts with
:meth:`Registry.register`, from a file that :func:`load_plugin` imports or from a package with an entry point in the group of
the registry. Built-in parts have no privileges.
"""

import difflib
import hashlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Iterable, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from pydantic import BaseModel, ValidationError

from insignia.errors import InputError

__all__ = ["Registry", "explain", "load_plugin", "located", "nearest"]

_T = TypeVar("_T", bound=BaseModel)
_Class = TypeVar("_Class", bound=type[BaseModel])


class Registry(Generic[_T]):
    """Names of one kind of part, each a frozen pydantic class that is its own configuration."""

    def __init__(self, kind: str, builtin: Mapping[str, str], *, group: str) -> None:
        self._kind = kind
        self._builtin = dict(builtin)
        self._group = group
        self._registered: dict[str, type[BaseModel]] = {}

    def register(self, part: _Class) -> _Class:
        """Add a part of a plug-in, as a decorator of its class; the default of its field ``name`` is its name.

        Raises:
            InputError: it has no name, or a part of that name exists.
        """
        field = cast(type[BaseModel], part).model_fields.get("name")
        name = field and field.default
        if not isinstance(name, str):
            raise InputError(f"{part.__qualname__} has no name; expected a field such as: name: Literal['mine'] = 'mine'")
        known = self._registered.get(name, part)
        if name in self._builtin or (known.__module__, known.__qualname__) != (part.__module__, part.__qualname__):
            raise InputError(f"there is a {self._kind} {name!r} already; give {part.__qualname__} another name")
        self._registered[name] = part
        return part

    def names(self) -> list[str]:
        """All known names, sorted; imports none of the parts."""
        return sorted({*self._builtin, *self._registered, *(entry.name for entry in entry_points(group=self._group))})

    def lines(self) -> dict[str, str]:
        """Name -> the first line of the part's docstring; imports the parts."""
        return {name: (inspect.getdoc(self.get(name)) or "").partition("\n")[0].replace("``", "") for name in self.names()}

    def get(self, name: str) -> type[_T]:
        """The class of that name; an unknown name raises InputError with the nearest known one."""
        if name in self._registered:
            return cast(type[_T], self._registered[name])
        target = self._builtin.get(name) or next((e.value for e in entry_points(group=self._group, name=name)), None)
        if target is None:
            raise InputError(
                f"unknown {self._kind} {name!r}.{nearest(name, self.names())} Available: {', '.join(self.names())}. "
                f"A {self._kind} of a plug-in is known after --plugin FILE.py"
            )
        return cast(type[_T], located(target))

    def build(self, spec: str | Mapping[str, Any]) -> _T:
        """The part that a spec describes: ``{"name": "inverse_nucleus", "nucleus_k": 3}``, the same as text, or a name alone.

        ``build(part.spec()) == part`` for every part.
        """
        options = dict(_mapping(spec, self._kind) if isinstance(spec, str) else spec)
        name = options.pop("name", None)
        if not isinstance(name, str):
            raise InputError(f"a {self._kind} needs a 'name'. Available: {', '.join(self.names())}.")
        try:
            return self.get(name)(**options)
        except ValidationError as error:
            fields = [field for field in self.get(name).model_fields if field != "name"]
            raise InputError(f"{self._kind} {name!r}: {explain(error, fields)}") from None


def located(target: str) -> Any:
    """What ``"module:attribute"`` names; imports the module."""
    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(module), attribute)


def load_plugin(path: Path) -> None:
    """Import a file outside the package, which registers its parts; once, however often it is asked for.

    Raises:
        InputError: there is no such file, it is not Python, or it imports what is not installed.
    """
    name = f"insignia_plugin_{path.stem}_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]}"
    if name in sys.modules:
        return
    spec = importlib.util.spec_from_file_location(name, path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise InputError(f"there is no plug-in {path}; expected a Python file (.py) that registers parts")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except (SyntaxError, ImportError) as error:
        del sys.modules[name]
        raise InputError(f"the plug-in {path} cannot be imported: {error}") from error


def _mapping(text: str, kind: str) -> Mapping[str, Any]:
    """A spec as people write it: a name, or a mapping in YAML's or JSON's braces."""
    if not text.lstrip().startswith("{"):
        return {"name": text}
    import yaml  # noqa: PLC0415  # only where a spec is given as text

    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        value = None
    if not isinstance(value, dict):
        raise InputError(f"this {kind} is not a mapping; expected a name, or one such as '{{name: mine, option: 3}}'")
    return value


def nearest(name: str, known: Iterable[str]) -> str:
    """`` Did you mean ...?`` with the known name that is most like this one, to follow a sentence; empty where none is like."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


def explain(error: ValidationError, known: Iterable[str] = ()) -> str:
    """A pydantic error as one line of field names and reasons, without the offending values (they may be secret).

    A field that does not exist is told the nearest of the ``known`` ones.
    """
    return "; ".join(
        f"{'.'.join(map(str, item['loc'])) or 'value'}: {item['msg']}{_of_shares(item.get('ctx', {}))}{_meant(item, known)}"
        for item in error.errors(include_input=False, include_url=False)
    )


def _meant(item: Any, known: Iterable[str]) -> str:
    return nearest(str(item["loc"][-1]), known) if item["type"] == "extra_forbidden" else ""


def _of_shares(limits: Mapping[str, Any]) -> str:
    """Percentages are what people give where the largest number is 1, or a little less."""
    return " (a share: 95 % is 0.95)" if any(0.5 < limits.get(name, 0) <= 1 for name in ("le", "lt")) else ""
