"""A step of a run: a verb and its options, as YAML says them and as the command line does."""

import inspect
import json
import os
import typing
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import typer

from insignia.errors import InputError
from insignia.flags.parameters import fields
from insignia.registry import did_you_mean

if TYPE_CHECKING:
    from insignia.flags.fields import Stage

__all__ = ["KEPT", "Outcome", "State", "Step", "Verb", "strings_in"]

KEPT = frozenset({"generate", "commit", "disclose"})
"""Verbs whose outputs are replaced only if the user says so: a new set, promise or proof is another one, not a newer one."""
_OUTPUT = "output"
_MORE_OUTPUTS = {"embed": ("private",), "verify": ("transcript",), "commit": ("timestamp_request",)}
_BY_THE_RUN = frozenset({"json", "quiet", "force", "resume", "help"})  # flags that a run sets itself
_RESULT = "json"  # file for what --json prints


class Verb(NamedTuple):
    """A verb of the command."""

    name: str
    function: Callable[..., None]
    command: Any
    """What typer makes of it."""

    @property
    def params(self) -> dict[str, Any]:
        """Every name that a step may say an option by -> what typer made of the option."""
        found = {}
        for param in self.command.params:
            if param.param_type_name == "argument":
                found[param.name] = param
            for flag in (flag for flag in param.opts if flag.startswith("--")):
                found[flag[2:].replace("-", "_")] = param
        return {name: param for name, param in found.items() if name not in _BY_THE_RUN}

    @property
    def settings(self) -> set[str]:
        """Names that ``--set`` knows."""
        stage: Stage | None = getattr(self.function, "stage", None)
        return set() if stage is None else {name for record in stage.records for name in fields(record)} | set(stage.parts)

    def has(self, flag: str) -> bool:
        """Whether the verb has this flag."""
        return any(flag in param.opts for param in self.command.params)

    def takes_path(self, param: Any) -> bool:
        """Whether an option is the path of a file or folder."""
        annotation = inspect.signature(self.function).parameters[param.name].annotation
        kinds = (annotation, *typing.get_args(annotation), *map(typing.get_args, typing.get_args(annotation)))
        return any(Path in (kind if isinstance(kind, tuple) else (kind,)) or kind == list[Path] for kind in kinds)


class Step(NamedTuple):
    """A verb with its options. ``name`` is unique in a run."""

    name: str
    verb: Verb
    options: Mapping[str, Any]
    outputs: tuple[str, ...]
    cell: str = ""
    """The folder of the cell of a grid that the step is in."""

    @classmethod
    def of(cls, name: str, verb: Verb, options: Mapping[str, Any], *, cell: str = "") -> "Step":
        """The step with these options, by the names of flags without dashes, of arguments, or of settings.

        Raises:
            InputError: there is no such option, or the step says no output.
        """
        known = {*verb.params, *verb.settings, _RESULT}
        found = {str(key).replace("-", "_"): value for key, value in options.items()}
        for key in found:
            if key in _BY_THE_RUN - {_RESULT}:
                raise InputError(f"{name}: a run sets '{key}' itself; leave it out")
            if key not in known:
                raise InputError(
                    f"{name}: there is no option {key!r}.{did_you_mean(key, known)} See 'insignia {verb.name} --help'"
                )
        if not found.get(_OUTPUT):
            raise InputError(f"{name}: a step of a run has an output, by which it is known to be done; give '{_OUTPUT}'")
        keys = (_OUTPUT, *_MORE_OUTPUTS.get(verb.name, ()), _RESULT)
        made = tuple(os.path.normpath(path) for key in keys for path in strings_in(found.get(key)))
        return cls(name, verb, found, made, cell)

    @property
    def result(self) -> Path | None:
        """The file for what ``--json`` prints, if one is named."""
        return Path(self.options[_RESULT]) if self.options.get(_RESULT) else None

    def paths(self) -> list[str]:
        """What the options name that may be a file or folder which the step reads."""
        named = (text for key, value in self.options.items() for text in strings_in(value))
        return list(dict.fromkeys(path for text in named if text and (path := os.path.normpath(text)) not in self.outputs))

    def needed_paths(self) -> list[str]:
        """Of these, what must be there: not the name of a model."""
        params = self.verb.params
        named = [value for key, value in self.options.items() if key in params and self.verb.takes_path(params[key])]
        mentioned = [os.path.normpath(text) for value in named for text in strings_in(value)]
        return [path for path in mentioned if path not in self.outputs]

    def command_line(self, *flags: str) -> list[str]:
        """The arguments of the verb, without its name."""
        params, told, placed = self.verb.params, list(flags), {}
        for key, value in self.options.items():
            if key == _RESULT or value is None:
                continue
            param = params.get(key)
            if param is None or isinstance(value, dict) or (isinstance(value, list) and not _takes_many(param)):
                told += ["--set", f"{key}={json.dumps(value)}"]
            elif param.param_type_name == "argument":
                placed[param.name] = [_said(each) for each in (value if isinstance(value, list) else [value])]
            else:
                told += _flag(param, value)
        order = [param.name for param in self.verb.command.params if param.name in placed]
        first = [word for name in order for word in placed[name]]
        return [*told, "--", *first] if any(word.startswith("-") for word in first) else [*first, *told]

    def refuse_bad(self) -> None:
        """Raise InputError if the verb would not take these options; it reads files that they name, but does nothing."""
        check = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        check.command(self.verb.name)(getattr(self.verb.function, "only_checked", self.verb.function))
        command: Any = typer.main.get_command(check)
        try:
            if hasattr(self.verb.function, "only_checked"):
                command.main(args=self.command_line(), prog_name=self.verb.name, standalone_mode=False)
            else:
                command.make_context(self.verb.name, self.command_line())
        except typer.BadParameter as error:
            raise InputError(f"{self.name}: {error.format_message()}") from None
        except InputError as error:
            raise type(error)(f"{self.name}: {error}") from None


class State(NamedTuple):
    """Whether a step is current, and why not."""

    step: Step
    current: bool
    why: str


class Outcome(NamedTuple):
    """What became of a step."""

    step: Step
    status: int
    """Exit status of its verb, now or when it was made."""
    ran: bool
    seconds: float = 0.0
    told: Mapping[str, Any] = {}
    error: str | None = None


def strings_in(value: Any) -> Iterator[str]:
    """Every text in a value of YAML."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from (text for each in value.values() for text in strings_in(each))
    elif isinstance(value, list):
        yield from (text for each in value for text in strings_in(each))


def _takes_many(param: Any) -> bool:
    return bool(getattr(param, "multiple", False)) or param.nargs != 1


def _flag(param: Any, value: Any) -> list[str]:
    flag = next(each for each in param.opts if each.startswith("--"))
    if param.is_flag and isinstance(value, bool):
        return [flag] if value else param.secondary_opts[:1]
    values = value if isinstance(value, list) else [value]
    return [word for each in map(_said, values) for word in ([f"{flag}={each}"] if each.startswith("-") else [flag, each])]


def _said(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
