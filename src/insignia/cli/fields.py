"""Options from fields: a record among the parameters of a verb becomes one option for each of its fields.

The field's type, range, default and docstring make the option. What is given as a flag wins over ``--set``, which wins over
``--recipe``, which wins over the default.
"""

import ast
import functools
import inspect
import itertools
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypeVar, Union, cast, get_args, get_origin

import typer
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from insignia.cli.assignments import Given, read_settings
from insignia.cli.console import Output, read_texts
from insignia.errors import InputError
from insignia.recipes import recipe_names
from insignia.records import Flag, Part, Record
from insignia.registry import Registry, explain, reason

__all__ = ["Chosen", "Parts", "Stage", "sentence", "takes"]

_T = TypeVar("_T", bound=Part)
_R = TypeVar("_R", bound=BaseModel)
_WORDS = {bool: "bool", int: "int", float: "float", str: "str", Path: "path"}
_SIGNS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}


class Parts(NamedTuple):
    """Marks a parameter as a part of this registry: ``Annotated[Chosen[Method], Parts(METHODS, "full")]``."""

    registry: Registry[Any]
    usual: str
    """The part where nobody names one."""
    panel: str
    """The help panel of options that several parts share."""


class Stage(NamedTuple):
    """What a verb can be told by a recipe."""

    section: str
    records: tuple[type[BaseModel], ...]
    parts: Mapping[str, Parts]


class Chosen(Generic[_T]):
    """The part that the flags, ``--set`` and the recipe describe."""

    def __init__(self, key: str, parts: Parts, spec: Mapping[str, Any], given: Mapping[str, str]) -> None:
        self._key, self._parts, self._given = key, parts, given
        self.options = {name: value for name, value in spec.items() if name != "name"}
        self.name: str | None = spec.get("name")
        """None where nobody named one."""

    def build(self, **more: Any) -> _T:
        """The part, with these options besides; a ``name`` among them is taken where nobody named a part."""
        registry, name = self._parts.registry, self.name or more.get("name") or self._parts.usual
        options = self.options | more | {"name": name}
        part = registry.get(name)
        for field in self._given.keys() - part.model_fields.keys() if self._given else ():
            owners = [each for each in registry.builtin() if field in registry.get(each).model_fields]
            flag = self._given[field]
            raise typer.BadParameter(f"{self._key} {name!r} has no such option; {', '.join(owners)} has", param_hint=flag)
        built = _built(part, options, self._given, f"{self._key} {name!r}", part.model_fields)
        return cast(_T, built)


def takes(section: str | None = None, *, recipe: str | None = None) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorate a verb so that typer makes options of its records.

    With ``section`` it takes ``--recipe`` and ``--set``: that section of a recipe holds the fields by name. ``recipe`` is read
    where none is named.
    """

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        parameters = list(inspect.signature(function, eval_str=True).parameters.values())
        records = {each.name: each.annotation for each in parameters if _is_record(each.annotation)}
        parts = {each.name: found for each in parameters if (found := _parts(each.annotation)) is not None}
        settings = {name: record for name, record in records.items() if not issubclass(record, Output)}
        stage = Stage(section, tuple(settings.values()), parts) if section else None
        signature = [new for each in parameters for new in _expanded(each, records, parts)]
        if stage is not None:
            signature += _recipe_options(stage, recipe)

        @functools.wraps(function)
        def run(**values: Any) -> None:
            given = Given({}, {})
            if stage is not None:
                known = {name for record in stage.records for name in fields(record)}
                chosen, assigned = values.pop("recipe"), values.pop("set") or ()
                given = read_settings(stage.section, chosen or recipe, assigned, known, tuple(parts))
            built: dict[str, Any] = {name: _chosen(name, key_parts, values, given) for name, key_parts in parts.items()}
            built |= {name: _record(record, values, given) for name, record in records.items()}
            function(**values, **built)  # a parameter may have the name of a field

        vars(run).update(__signature__=inspect.Signature(_ordered(signature)), __annotations__={}, stage=stage)
        return run

    return decorate


def fields(record: type[BaseModel]) -> dict[str, FieldInfo]:
    """The fields that can be set: not a part's name, and nothing that is read elsewhere."""
    found = record.model_fields.items()
    return {
        name: field for name, field in found if not _flag(field).hidden and not (name == "name" and issubclass(record, Part))
    }


def sentence(record: type[BaseModel], name: str) -> str:
    """What a field is, in a paragraph: its description, or else the docstring under it."""
    if (text := record.model_fields[name].description) is None:
        documented = (_docstrings(base.__module__, base.__qualname__) for base in record.__mro__)
        text = next((found[name] for found in documented if name in found), "")
    return " ".join(text.split()).replace("``", "")


@functools.cache
def _docstrings(module: str, name: str) -> Mapping[str, str]:
    """Field -> the docstring under it. Read from the source, since pydantic would do it whenever a record is imported."""
    body = _classes(module).get(name, [])
    return {
        field.target.id: inspect.cleandoc(text.value.value)
        for field, text in itertools.pairwise(body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant) and isinstance(text.value.value, str)
    }


@functools.cache
def _classes(module: str) -> Mapping[str, list[ast.stmt]]:
    try:
        tree = ast.parse(inspect.getsource(__import__(module, fromlist=["*"])))
    except (OSError, TypeError, ImportError):  # no source: flags without help
        return {}
    return {node.name: node.body for node in tree.body if isinstance(node, ast.ClassDef)}


def _is_record(annotation: Any) -> bool:
    return inspect.isclass(annotation) and issubclass(annotation, Record)


def _parts(annotation: Any) -> Parts | None:
    return next((each for each in getattr(annotation, "__metadata__", ()) if isinstance(each, Parts)), None)


def _flag(field: FieldInfo) -> Flag:
    return next((each for each in field.metadata if isinstance(each, Flag)), Flag())


def _ordered(signature: Iterable[inspect.Parameter]) -> list[inspect.Parameter]:
    """By keyword, so that those with a default may come first; a name twice would lose an option."""
    found = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in signature]
    if twice := {each.name for each in found if sum(other.name == each.name for other in found) > 1}:
        raise TypeError(f"two fields have one flag: {', '.join(sorted(twice))}")
    return found


def _expanded(
    parameter: inspect.Parameter, records: Mapping[str, type[BaseModel]], parts: Mapping[str, Parts]
) -> Iterator[inspect.Parameter]:
    """The options that stand for a parameter of the verb."""
    if parameter.name in records:
        record = records[parameter.name]
        panel = str(record.model_config.get("title") or "Options")
        for name in fields(record):
            if option := _option(name, [record], panel):
                yield option
    elif parameter.name in parts:
        yield from _part_options(parameter.name, parts[parameter.name])
    else:
        yield parameter


def _part_options(key: str, parts: Parts) -> Iterator[inspect.Parameter]:
    registry, usual, panel = parts
    names = registry.builtin()
    text = f"{key.capitalize()}: {', '.join(names)}, or a plug-in's. Default: {usual}, unless the recipe names one."
    yield _parameter(key, str, [f"--{key}"], text, panel, metavar="<name>", complete=registry.names)
    classes = {name: registry.get(name) for name in names}
    for field in dict.fromkeys(field for each in classes.values() for field in fields(each)):
        owners = {name: each for name, each in classes.items() if field in fields(each)}
        place = panel if len(owners) > 1 else f"{key.capitalize()} {next(iter(owners))}"
        if option := _option(field, list(owners.values()), place, owners=list(owners), usual=usual):
            yield option


def _option(
    name: str, records: list[type[BaseModel]], panel: str, *, owners: Iterable[str] = (), usual: str = ""
) -> inspect.Parameter | None:
    """The option of a field that one record has, or several; None where only a recipe can say such a value."""
    found = [record.model_fields[name] for record in records]
    flag, kind = _flag(found[0]), _kind(found[0].annotation)
    if flag.many:
        kind = types.GenericAlias(list, get_args(found[0].annotation)[0])
    elif flag.read is not None or kind is tuple:
        kind = Path
    if kind is None:
        return None
    defaults = {owner: _said(field.default) for owner, field in zip(owners or [""], found, strict=True)}
    text = _help(sentence(records[0], name), defaults, usual)
    on = any(field.default is True for field in found)
    flags = list(flag.names) or [f"--{name.replace('_', '-')}"]
    if kind is bool:
        flags[0] += f"/--no-{flags[0][2:]}" if on else ""
    required = found[0].is_required() and not owners
    metavar = f"<{_WORDS[kind]}{_bounds(found)}>" if kind in (int, float) else None
    examples = found[0].examples
    complete = (lambda: [str(each) for each in examples]) if examples else None
    return _parameter(name, kind, flags, text, panel, metavar=metavar, complete=complete, required=required)


def _parameter(
    name: str,
    kind: Any,
    flags: Iterable[str],
    text: str,
    panel: str,
    *,
    metavar: str | None = None,
    complete: Callable[[], Iterable[str]] | None = None,
    required: bool = False,
) -> inspect.Parameter:
    def completed(incomplete: str) -> list[str]:
        return [value for value in (complete() if complete else ()) if value.startswith(incomplete)]

    option = typer.Option(
        *flags, help=text, rich_help_panel=panel, metavar=metavar, show_default=False, autocompletion=complete and completed
    )
    default = inspect.Parameter.empty if required else None
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind if required else kind | None, option]
    )


def _kind(annotation: Any) -> Any:
    """What typer is told of a type: itself, or its choices; tuple for a tuple of texts, None for what no flag can say."""
    if get_origin(annotation) is Annotated:
        return _kind(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        kinds = [_kind(each) for each in get_args(annotation) if each is not type(None)]
        return kinds[0] if len(kinds) == 1 else None
    if get_origin(annotation) is tuple and _kind(get_args(annotation)[0]) is str:
        return tuple
    return annotation if annotation in _WORDS or get_origin(annotation) is Literal else None


def _bounds(found: Iterable[FieldInfo]) -> str:
    """`` >=1`` or `` 0..1``, where the fields agree."""
    limits: dict[str, None] = {}
    for field in found:
        have = {name: each for bound in field.metadata for name in _SIGNS if (each := getattr(bound, name, None)) is not None}
        closed = f"{have['ge']:g}..{have['le']:g}" if {"ge", "le"} <= have.keys() else None
        limits[closed or " ".join(f"{_SIGNS[name]}{limit:g}" for name, limit in have.items())] = None
    return f" {next(iter(limits))}" if len(limits) == 1 and "" not in limits else ""


def _said(default: Any) -> str:
    if isinstance(default, bool) or default in (None, ()) or not isinstance(default, tuple(_WORDS)):
        return "on" if default is True else ""
    return f"{default:g}" if isinstance(default, float) else str(default)


def _help(text: str, defaults: Mapping[str, str], usual: str) -> str:
    """The sentence and the default; where parts differ in it, that of the usual part and then theirs."""
    first = defaults.get(usual) or next((said for said in defaults.values() if said), "")
    others = [f"{said} for {owner}" for owner, said in defaults.items() if said not in ("", first)]
    said = "; ".join([first, *others]) if first else ""
    text = text.replace("None: ", "default: ").replace(". default", ". Default")
    return f"{text} Default: {said}.".strip() if said else text


def _recipe_options(stage: Stage, usual: str | None) -> Iterator[inspect.Parameter]:
    about = f"Named settings, or a YAML file with a '{stage.section}:' section. Flags win over it."
    about += f" Default: {usual}." if usual else ""
    complete = functools.partial(recipe_names, stage.section)
    yield _parameter("recipe", str, ["--recipe"], about, "Settings", metavar="<name or file>", complete=complete)
    about = "One setting by name, as in a recipe; dots go inside. It wins over the recipe. Repeat it for several."
    yield _parameter("set", list[str], ["--set"], about, "Settings", metavar="<name=value>")


def _taken(names: Iterable[str], found: Mapping[str, FieldInfo], values: dict[str, Any]) -> dict[str, Any]:
    """What the flags of these fields say, taken out of the values; a file is read."""
    given = {}
    for name in names:
        value = values.pop(name, None)
        if value not in (None, []):
            flag = _flag(found[name])
            reads = flag.read or (tuple if flag.many else read_texts if _kind(found[name].annotation) is tuple else None)
            given[name] = reads(value) if reads else value
    return given


def _flags(names: Iterable[str], found: Mapping[str, FieldInfo]) -> dict[str, str]:
    return {name: (_flag(found[name]).names or (f"--{name.replace('_', '-')}",))[0] for name in names}


def _record(record: type[_R], values: dict[str, Any], given: Given) -> _R:
    found = fields(record)
    flags = _taken(found, found, values)
    options = {name: value for name, value in {**given.recipe, **given.assigned}.items() if name in found} | flags
    return _built(record, options, _flags(flags, found), "the settings", found)


def _chosen(key: str, parts: Parts, values: dict[str, Any], given: Given) -> Chosen[Any]:
    classes = [parts.registry.get(name) for name in parts.registry.builtin()]
    found = {name: field for each in classes for name, field in fields(each).items()}
    flags = _taken(found, found, values)
    name, usual = values.pop(key), dict(given.recipe.get(key, {}))
    assigned = given.assigned.get(key, {})
    if name is not None:
        flags["name"] = name
    if (flags | assigned).get("name", usual.get("name")) != usual.get("name"):
        usual = {}  # the recipe's options are another part's
    own = {field for field in flags if field != "name"}
    return Chosen(key, parts, usual | assigned | flags, _flags(own, found))


def _built(
    make: Callable[..., _R], options: Mapping[str, Any], given: Mapping[str, str], what: str, known: Iterable[str]
) -> _R:
    """The record; a value that a flag gave and the record refuses is a bad command line, which names the flag."""
    try:
        return make(**options)
    except ValidationError as error:
        for item in error.errors(include_input=False, include_url=False):
            if item["loc"] and (flag := given.get(str(item["loc"][0]))):
                raise typer.BadParameter(reason(item), param_hint=flag) from None
        raise InputError(f"{what}: {explain(error, known)}") from None
