"""Options from fields: a record among the parameters of a verb becomes one option for each of its fields.

The field's type, range, default and docstring make the option. What is given as a flag wins over ``--set``, which wins over
``--recipe``, which wins over the default.
"""

import functools
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Generic, NamedTuple, TypeVar, cast

import typer
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from insignia.errors import InputError
from insignia.files import read_texts
from insignia.flags.assignments import Given, read_settings
from insignia.flags.parameters import argument, fields, flag_of, kind_of, names_of, option, parameter
from insignia.recipes import recipe_names
from insignia.records import Part, Record
from insignia.registry import Registry, did_you_mean, explain, reason
from insignia.reporting.output import Output

__all__ = ["Chosen", "Parts", "Stage", "takes"]

_T = TypeVar("_T", bound=Part)
_R = TypeVar("_R", bound=BaseModel)


class Parts(NamedTuple):
    """Marks a parameter as a part of this registry: ``Annotated[Chosen[Method], Parts(METHODS, "full")]``."""

    registry: Registry[Any]
    usual: str
    """The part where nobody names one."""
    panel: str
    """The help panel of options that several parts share."""
    of: type[Part] = Part
    """Only parts of this class have options."""
    named_first: bool = False
    """The part's name is an argument, without which the verb does nothing."""


class Stage(NamedTuple):
    """What a verb can be told by a recipe."""

    section: str
    records: tuple[type[BaseModel], ...]
    parts: Mapping[str, Parts]
    usual: str | None
    """The recipe that is read where none is named."""


class Chosen(Generic[_T]):
    """The part that the flags, ``--set`` and the recipe describe."""

    def __init__(self, key: str, parts: Parts, spec: Mapping[str, Any], given: Mapping[str, str]) -> None:
        self._key, self._parts, self._given = key, parts, given
        self.options = {name: value for name, value in spec.items() if name != "name"}
        self.name: str | None = spec.get("name")
        """None where nobody named one."""

    def build(self, **more: Any) -> _T:
        """The part, with these options besides; a ``name`` among them is taken where nobody named a part."""
        registry = self._parts.registry
        name = next(each for each in (self.name, more.get("name"), self._parts.usual) if each is not None)
        part, what = cast(type[_T], registry.get(name)), f"{self._key} {name!r}"
        for field in self._given.keys() - fields(part).keys():
            owners = ", ".join(_owners(self._parts)[field])
            raise typer.BadParameter(f"{what} has no such option. It is one of: {owners}", param_hint=self._given[field])
        return _built(part, {**self.options, **more, "name": name}, self._given, what, part.model_fields)

    def refuse_unknown(self) -> None:
        """Raise InputError if the part does not exist or has no such option; whether values fit is told when it is built."""
        name = self.name or self._parts.usual
        known = self._parts.registry.get(name).model_fields
        for unknown in self.options.keys() - known.keys():
            raise InputError(f"{self._key} {name!r}: there is no option {unknown!r}.{did_you_mean(unknown, known)}")


def takes(section: str | None = None, *, recipe: str | None = None) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorate a verb so that typer makes options of its records.

    With ``section`` it takes ``--recipe`` and ``--set``: that section of a recipe holds the fields by name. ``recipe`` is read
    where none is named. ``only_checked`` of the verb builds its records and does nothing.
    """

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        parameters = list(inspect.signature(function, eval_str=True).parameters.values())
        records = {each.name: each.annotation for each in parameters if _is_record(each.annotation)}
        parts = {each.name: found for each in parameters if (found := _parts(each.annotation)) is not None}
        settings = {name: record for name, record in records.items() if not issubclass(record, Output)}
        stage = Stage(section, tuple(settings.values()), parts, recipe) if section else None
        signature = [new for each in parameters for new in _expanded(each, records, parts)]
        named = any(each.name == "recipe" for each in parameters)
        if stage is not None:
            signature += [each for each in _recipe_options(stage, recipe) if not (named and each.name == "recipe")]

        def built(values: dict[str, Any]) -> dict[str, Any]:
            given = Given({}, {})
            if stage is not None:
                known = {name for record in stage.records for name in fields(record)}
                chosen, assigned = values.get("recipe") if named else values.pop("recipe"), values.pop("set") or ()
                given = read_settings(stage.section, chosen or recipe, assigned, known, tuple(parts))
            for name, key_parts in parts.items():
                values[name] = _chosen(name, key_parts, values, given)
            for name, record in records.items():
                values[name] = _record(record, values, given)
            return values

        @functools.wraps(function)
        def run(**values: Any) -> None:
            function(**built(values))

        def only_checked(**values: Any) -> None:
            for value in built(values).values():
                if isinstance(value, Chosen):
                    value.refuse_unknown()

        typed = {"__signature__": inspect.Signature(_ordered(signature)), "__annotations__": {}}
        vars(only_checked).update(typed)
        vars(run).update(typed, stage=stage, only_checked=only_checked)
        return run

    return decorate


def _is_record(annotation: Any) -> bool:
    return inspect.isclass(annotation) and issubclass(annotation, Record)


def _parts(annotation: Any) -> Parts | None:
    return next((each for each in getattr(annotation, "__metadata__", ()) if isinstance(each, Parts)), None)


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
            if shown := option(name, {"": record}, panel):
                yield shown
    elif parameter.name in parts:
        yield from _part_options(parameter.name, parts[parameter.name])
    else:
        yield parameter


def _part_options(key: str, parts: Parts) -> Iterator[inspect.Parameter]:
    registry, usual, panel = parts.registry, parts.usual, parts.panel
    text = f"{key.capitalize()}: {', '.join(_builtin(parts))}, or a plug-in's."
    if parts.named_first:
        yield argument(key, text, complete=registry.names)
    else:
        text += f" Default: {usual}, unless the recipe names one."
        yield parameter(key, str, [f"--{key}"], text, panel, metavar="<name>", complete=registry.names)
    for field, owners in _owners(parts).items():
        place = panel if len(owners) > 1 else f"{key.capitalize()} {next(iter(owners))}"
        if shown := option(field, owners, place, usual=usual):
            yield shown


def _builtin(parts: Parts) -> dict[str, type[Part]]:
    found = {name: parts.registry.get(name) for name in parts.registry.builtin()}
    return {name: part for name, part in found.items() if issubclass(part, parts.of)}


def _owners(parts: Parts) -> dict[str, dict[str, type[BaseModel]]]:
    """Field -> name -> class, of the parts that have it; a plug-in's parts are set by name alone."""
    owners: dict[str, dict[str, type[BaseModel]]] = {}
    for name, part in _builtin(parts).items():
        for field in fields(part):
            owners.setdefault(field, {})[name] = part
    return owners


def _recipe_options(stage: Stage, usual: str | None) -> Iterator[inspect.Parameter]:
    about = f"Named settings, or a YAML file with a '{stage.section}:' section. Flags win over it."
    about += f" Default: {usual}." if usual else ""
    complete = functools.partial(recipe_names, stage.section)
    yield parameter("recipe", str, ["--recipe"], about, "Settings", metavar="<name or file>", complete=complete)
    about = "One setting by name, as in a recipe; dots go inside. It wins over the recipe. Repeat it for several."
    yield parameter("set", list[str], ["--set"], about, "Settings", metavar="<name=value>")


def _taken(found: Mapping[str, tuple[FieldInfo, ...]], values: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """What the flags of these fields say, taken out of the values, files read; and the flags by field."""
    given, flags = {}, {}
    for name, each in found.items():
        if (value := values.pop(name, None)) not in (None, []):
            flag = flag_of(*each)
            reads = flag.read or (tuple if flag.many else read_texts if kind_of(each[0].annotation) is tuple else None)
            given[name], flags[name] = (reads(value) if reads else value), names_of(name, flag)[0]
    return given, flags


def _record(record: type[_R], values: dict[str, Any], given: Given) -> _R:
    found = fields(record)
    said, flags = _taken({name: (field,) for name, field in found.items()}, values)
    replaced = {flag_of(found[name]).replaces for name in said}
    options = {name: value for name, value in {**given.recipe, **given.assigned}.items() if name in found.keys() - replaced}
    options |= said
    for name in said:
        if (needed := flag_of(found[name]).needs) and options.get(needed) is None:
            other = names_of(needed, flag_of(found[needed]))[0]
            raise typer.BadParameter(f"it goes with {other}; give that, too, or leave it out", param_hint=flags[name])
    return _built(record, options, flags, "the settings", found)


def _chosen(key: str, parts: Parts, values: dict[str, Any], given: Given) -> Chosen[Any]:
    owners = _owners(parts)
    said, flags = _taken({f: tuple(part.model_fields[f] for part in have.values()) for f, have in owners.items()}, values)
    usual, assigned = dict(given.recipe.get(key, {})), dict(given.assigned.get(key, {}))
    if (name := values.pop(key)) is not None:
        said["name"] = name
    if (assigned | said).get("name", usual.get("name")) != usual.get("name"):
        usual = {}  # the recipe's options are another part's
    return Chosen(key, parts, usual | assigned | said, flags)


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
