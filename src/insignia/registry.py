"""Registries of strategies, embedding methods and other parts.

A registry maps a name to ``"module:Class"`` and imports the module when the part is first used. A plug-in adds parts with
:meth:`Registry.register`, from a file that :func:`load_plugin` imports or from a package with an entry point.
"""

import contextlib
import difflib
import hashlib
import importlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from pydantic import BaseModel, ValidationError

from insignia.errors import FormatError, InputError

__all__ = ["Registry", "did_you_mean", "errors_about", "explain", "load_plugin", "located", "plugins", "reason"]

_T = TypeVar("_T", bound=BaseModel)
_Class = TypeVar("_Class", bound=type[BaseModel])
_REASONS = {
    "extra_forbidden": "there is no such setting.",
    "int_parsing": "expected a whole number",
    "float_parsing": "expected a number",
    "bool_parsing": "expected true or false",
    "missing": "it has to be given",
}
_PLUGIN = "insignia_plugin_"  # modules of files, by how their names begin
_LIMITS = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}


class Registry(Generic[_T]):
    """The parts of one kind, by name."""

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
        """Return all known names, sorted, without importing the parts."""
        return sorted({*self._builtin, *self._registered, *(entry.name for entry in entry_points(group=self._group))})

    def builtin(self) -> list[str]:
        """Return the names of the built-in parts, sorted."""
        return sorted(self._builtin)

    def lines(self) -> dict[str, str]:
        """Return name -> first line of the part's docstring. Imports all parts; one that lacks an extra says so."""
        return {name: self._line(name) for name in self.names()}

    def _line(self, name: str) -> str:
        try:
            return (inspect.getdoc(self.get(name)) or "").partition("\n")[0].replace("``", "")
        except ModuleNotFoundError as error:
            return f"Needs {error.name}, which is not installed."

    def get(self, name: str) -> type[_T]:
        """Return the class of that name.

        Raises:
            InputError: the name is unknown; the message suggests the nearest known name.
        """
        if name in self._registered:
            return cast(type[_T], self._registered[name])
        target = self._builtin.get(name) or next((e.value for e in entry_points(group=self._group, name=name)), None)
        if target is None:
            raise InputError(
                f"unknown {self._kind} {name!r}.{did_you_mean(name, self.names())} Available: {', '.join(self.names())}. "
                f"A {self._kind} of a plug-in is known after --plugin FILE.py"
            )
        return cast(type[_T], located(target))

    def build(self, spec: str | Mapping[str, Any]) -> _T:
        """Build a part from a spec such as ``{"name": "inverse_nucleus", "nucleus_k": 3}``, the same as text, or a name alone.

        ``build(part.spec()) == part`` for every part.

        Raises:
            InputError: the name or an option is missing, unknown or out of range.
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
    """Import the module of ``"module:attribute"`` and return the attribute."""
    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(module), attribute)


def load_plugin(path: Path) -> None:
    """Import a file outside the package, which registers its parts. A second call does nothing.

    Raises:
        InputError: there is no such file, it is not Python, or it imports what is not installed.
    """
    name = f"{_PLUGIN}{path.stem}_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]}"
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


def plugins() -> tuple[Path, ...]:
    """The plug-in files that were loaded."""
    return tuple(Path(str(module.__file__)) for name, module in sys.modules.items() if name.startswith(_PLUGIN))


def _mapping(text: str, kind: str) -> Mapping[str, Any]:
    """Parse a spec: a name, or a mapping in YAML's or JSON's braces."""
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


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return " Did you mean 'NAME'?" for the most similar known name, or an empty text if none is similar."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1) or [each for each in names if name and each.startswith(name)]
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
    said = _REASONS.get(item["type"], item["msg"].removeprefix("Value error, "))
    return f"{'; '.join(expected) or said}{_percent_hint(limits)}"


def _suggestion(item: Any, known: Iterable[str]) -> str:
    return did_you_mean(str(item["loc"][-1]), known) if item["type"] == "extra_forbidden" else ""


def _percent_hint(limits: Mapping[str, Any]) -> str:
    """Return a hint for a field whose limit is 1 or a little less, where people give percentages."""
    return " (95 % is 0.95)" if any(0.5 < limits.get(name, 0) <= 1 for name in ("le", "lt")) else ""
