"""A field of a record as an option of the command line: its names, type, range, default and help."""

import inspect
import types
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from insignia.docstrings import sentence
from insignia.records import Flag, Part

__all__ = ["argument", "fields", "flag_of", "kind_of", "names_of", "option", "parameter"]

_WORDS = {bool: "bool", int: "int", float: "float", str: "str", Path: "path"}
_SIGNS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}


def fields(record: type[BaseModel]) -> dict[str, FieldInfo]:
    """The fields that can be set, a record's own before its parents'; not a part's name, and nothing that is read elsewhere."""
    part = issubclass(record, Part)
    found = {name: field for name, field in record.model_fields.items() if not flag_of(field).hidden}
    if part:
        found.pop("name")
    return {name: found[name] for name in sorted(found, key=lambda name: not part and name not in record.__annotations__)}


def flag_of(*found: FieldInfo) -> Flag:
    """How a field is given: as the first of these that says so."""
    return next((each for field in found for each in field.metadata if isinstance(each, Flag)), Flag())


def names_of(name: str, flag: Flag) -> tuple[str, ...]:
    """The flags of a field, the first of which errors name."""
    return flag.names or (f"--{name.replace('_', '-')}",)


def option(name: str, records: Mapping[str, type[BaseModel]], panel: str, *, usual: str = "") -> inspect.Parameter | None:
    """The option of a field that one record has, or several parts by name; None where only a recipe can say such a value."""
    found = {owner: record.model_fields[name] for owner, record in records.items()}
    fields_found = list(found.values())
    flag, kind = flag_of(*fields_found), kind_of(fields_found[0].annotation)
    if flag.many:
        kind = types.GenericAlias(list, get_args(fields_found[0].annotation)[0])
    elif flag.read is not None or kind is tuple:
        kind = Path
    if kind is None:
        return None
    said = Counter(filter(None, (sentence(record, name) for record in records.values())))
    text = _help(
        next((each for each, _ in said.most_common(1)), ""), {owner: _said(f.default) for owner, f in found.items()}, usual
    )
    flags = list(names_of(name, flag))
    if kind is bool and any(field.default is True for field in fields_found):
        flags[0] += f"/--no-{flags[0][2:]}"
    metavar = "" if kind is bool else f"<{_WORDS[kind]}{_bounds(fields_found)}>" if kind in (int, float) else None
    examples = fields_found[0].examples
    complete = (lambda: [str(each) for each in examples]) if examples else None
    required = fields_found[0].is_required() and not usual
    return parameter(name, kind, flags, text, panel, metavar=metavar, complete=complete, required=required)


def parameter(
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
    """A parameter that typer makes an option of; None where it is not given."""

    def completed(incomplete: str) -> list[str]:
        return [value for value in (complete() if complete else ()) if value.startswith(incomplete)]

    shown = typer.Option(
        *flags, help=text, rich_help_panel=panel, metavar=metavar, show_default=False, autocompletion=complete and completed
    )
    default = inspect.Parameter.empty if required else None
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind if required else kind | None, shown]
    )


def argument(name: str, text: str, *, complete: Callable[[], Iterable[str]]) -> inspect.Parameter:
    """A parameter that typer makes a required argument of."""

    def completed(incomplete: str) -> list[str]:
        return [value for value in complete() if value.startswith(incomplete)]

    shown = typer.Argument(help=text, metavar="NAME", autocompletion=completed)
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=Annotated[str, shown])


def kind_of(annotation: Any) -> Any:
    """What typer is told of a type: itself, or its choices; tuple for a tuple of texts, None for what no flag can say."""
    if get_origin(annotation) is Annotated:
        return kind_of(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        kinds = [kind_of(each) for each in get_args(annotation) if each is not type(None)]
        return kinds[0] if len(kinds) == 1 else None if None in kinds or tuple in kinds else str
    if get_origin(annotation) is tuple and kind_of(get_args(annotation)[0]) is str:
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
    return f"{text} Default: {said}.".strip() if said and "Default: " not in text else text
