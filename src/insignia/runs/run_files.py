"""Run files: a section for each verb with its options, and a grid of settings to try."""

import itertools
import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any, NamedTuple

from insignia.errors import FormatError, InputError
from insignia.recipes import read_recipe
from insignia.registry import did_you_mean
from insignia.runs.steps import Step, Verb

__all__ = ["Run", "needs", "read_run"]

_GRID = "grid"
_LONGEST = 40  # characters of a value in the name of a cell's folder


class Run(NamedTuple):
    """The steps of a file, in an order in which each comes after those that it needs."""

    steps: tuple[Step, ...]
    cells: Mapping[str, Mapping[str, Any]]
    """Folder of a cell -> its settings, by 'verb.option'."""


def read_run(path: Path, verbs: Collection[str], verb_named: Callable[[str], Verb]) -> Run:
    """Read a run file. Paths in it are relative to the current folder.

    Raises:
        InputError: a verb or option does not exist, two steps make one file, or steps need each other.
        FormatError: it is not a mapping of verbs to their options.
    """
    sections = dict(read_recipe(path))
    grid = sections.pop(_GRID, None) or {}
    if not sections:
        raise FormatError(f"{path} has no step; expected a verb and its options, such as 'generate: {{output: prints.json}}'")
    parts: list[Step] = []
    for verb, said in sections.items():
        if verb not in verbs:
            near = did_you_mean(verb, [*verbs, _GRID])
            raise InputError(f"{path}: {verb!r} is no step.{near} Expected {_GRID} or one of {', '.join(sorted(verbs))}")
        parts += _steps(verb, said, verb_named(verb), path)
    if not isinstance(grid, dict):
        raise FormatError(f"{path}: '{_GRID}:' is not a mapping; expected one such as {{embed.rank: [4, 8]}}")
    steps, cells = _with_cells(parts, _cells(grid, parts, path))
    for step in steps:
        step.refuse_bad()
    return Run(_ordered(steps), cells)


def needs(step: Step, steps: Sequence[Step]) -> list[Step]:
    """The steps that make what this one names."""
    return [other for other in steps if other is not step and any(_made_by(path, other) for path in step.paths())]


def _steps(name: str, said: Any, verb: Verb, path: Path) -> Iterator[Step]:
    several = said if isinstance(said, list) else [said]
    for options in several:
        if not isinstance(options, dict):
            raise FormatError(f"{path}: '{name}:' is no mapping of options, and no list of such mappings")
        label = f"{name} {options.get('output')}" if len(several) > 1 else name
        yield Step.of(label, verb, options)


def _cells(grid: Mapping[str, Any], steps: Sequence[Step], path: Path) -> dict[str, dict[str, Any]]:
    """Every combination of the grid's values, by the name of its folder."""
    if not grid:
        return {}
    verbs = {step.verb.name for step in steps}
    for key, values in grid.items():
        verb, _, option = str(key).rpartition(".")
        if verb not in verbs:
            near = did_you_mean(verb or option, verbs)
            raise InputError(f"{path}: grid: {key!r} names no step.{near} Expected 'verb.option', such as embed.rank")
        if not isinstance(values, list) or not values:
            raise FormatError(f"{path}: grid: '{key}:' is not a list of values")
    options = [key.rpartition(".")[2] for key in grid]
    short = {key: option if options.count(option) == 1 else key for key, option in zip(grid, options, strict=True)}
    cells = {}
    for values in itertools.product(*grid.values()):
        name = ",".join(f"{short[key]}={_label(value)}" for key, value in zip(grid, values, strict=True))
        if name in cells:
            raise InputError(f"{path}: grid: two cells have the name {name}; give each value once")
        cells[name] = dict(zip(grid, values, strict=True))
    return cells


def _label(value: Any) -> str:
    return re.sub(r"[^\w.+-]+", "-", str(value)).strip("-")[:_LONGEST] or "none"


def _with_cells(
    parts: Sequence[Step], cells: Mapping[str, Mapping[str, Any]]
) -> tuple[list[Step], Mapping[str, Mapping[str, Any]]]:
    """A step that a cell changes, or that needs one, is made in each cell's folder; the others are made once."""
    if not cells:
        return list(parts), cells
    named = {key.rpartition(".")[0] for settings in cells.values() for key in settings}
    inside = [step for step in parts if step.verb.name in named]
    while more := [step for step in parts if step not in inside and any(other in inside for other in needs(step, parts))]:
        inside += more
    moved = [path for step in inside for path in step.outputs]
    if outside := next((path for path in moved if Path(path).is_absolute() or path.startswith("..")), None):
        raise InputError(f"{outside} is made once for each cell of the grid; give a path inside the folder of the run file")
    steps = [step for step in parts if step not in inside]
    for name, settings in cells.items():
        for step in (step for step in parts if step in inside):
            mine = {
                key.rpartition(".")[2]: value for key, value in settings.items() if key.rpartition(".")[0] == step.verb.name
            }
            options = {key: _moved(value, moved, name) for key, value in ({**step.options, **mine}).items()}
            steps.append(Step.of(f"{name}: {step.name}", step.verb, options, cell=name))
    return steps, cells


def _moved(value: Any, paths: Collection[str], cell: str) -> Any:
    """The value with the paths of what a cell makes in the cell's folder."""
    if isinstance(value, dict):
        return {key: _moved(each, paths, cell) for key, each in value.items()}
    if isinstance(value, list):
        return [_moved(each, paths, cell) for each in value]
    inside = isinstance(value, str) and any(_within(os.path.normpath(value), path) for path in paths)
    return str(Path(cell, value)) if inside else value


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder + os.sep)


def _made_by(path: str, step: Step) -> bool:
    return any(_within(path, output) for output in step.outputs)


def _ordered(steps: Sequence[Step]) -> tuple[Step, ...]:
    """The steps after those that they need, in the order of the file where that leaves a choice."""
    makers: dict[str, Step] = {}
    for step in steps:
        for path in step.outputs:
            if makers.setdefault(path, step) is not step:
                raise InputError(f"{makers[path].name} and {step.name} both make {path}; give each step an output of its own")
    if len({step.name for step in steps}) < len(steps):
        raise InputError("two steps have one name; give each step an output of its own")
    _refuse_missing(steps)
    sorter = TopologicalSorter({step.name: [other.name for other in needs(step, steps)] for step in steps})
    try:
        sorter.prepare()
    except CycleError as error:
        raise InputError(f"steps need each other: {' -> '.join(reversed(error.args[1]))}") from None
    found: dict[str, Step] = {}

    def place(step: Step) -> None:
        for other in needs(step, steps):
            place(other)
        found.setdefault(step.name, step)

    for step in steps:
        place(step)
    return tuple(found.values())


def _refuse_missing(steps: Sequence[Step]) -> None:
    made = [path for step in steps for path in step.outputs]
    for step in steps:
        for path in step.needed_paths():
            if not os.path.lexists(path) and not any(_made_by(path, other) for other in steps):
                raise InputError(f"{step.name}: there is no {path}, and no step makes it.{did_you_mean(path, made)}")
