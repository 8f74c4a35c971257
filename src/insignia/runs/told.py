"""What a run tells of its steps: the plan, and at the end what each step came to."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from insignia.reporting.base import Block, Code, Document, Table
from insignia.runs.steps import Outcome, State
from insignia.terminal import command_line, counted, percent, size

if TYPE_CHECKING:
    from insignia.runs.run_files import Run

__all__ = ["plan_report", "run_report", "told_of"]

_VALUES: Mapping[str, Mapping[str, tuple[str, Callable[[Any], str]]]] = {
    "generate": {"fingerprints": ("num_fingerprints", str)},
    "embed": {"FSR": ("fsr", percent), "perplexity": ("harm", lambda value: f"x{value:.4f}")},
    "check": {"FSR": ("fsr", percent)},
    "vector": {"size": ("bytes", size)},
    "verify": {"outcome": ("outcome", str), "p": ("p_value", lambda value: f"{value:.2g}")},
}
"""Verb -> what is told -> the field of its result, and how it is written."""
_MEANINGS = {0: "done", 3: "not found", 4: "inconclusive"}


def told_of(verb: str, result: Any) -> dict[str, Any]:
    """The values of a verb's result that a summary has."""
    fields = _VALUES.get(verb, {}) if isinstance(result, dict) else {}
    return {label: result[field] for label, (field, _) in fields.items() if isinstance(result.get(field), int | float | str)}


def plan_report(name: str, states: Sequence[State], makers: Mapping[str, Sequence[str]], *, commands: bool) -> Document:
    """The steps in their order: what each makes, after which others, and whether it is current. ``commands`` lists them."""
    rows = [
        [state.step.name, ", ".join(state.step.outputs), ", ".join(makers[state.step.name]), _to_do(state)] for state in states
    ]
    title = f"{name}: {counted(len(states), 'step')}, {counted(sum(not state.current for state in states), 'step')} to run"
    table = Table.of(title, ("step", "makes", "after", "state"), rows, left=True)
    lines = [command_line("insignia", state.step.verb.name, *state.step.command_line()) for state in states]
    steps = [
        {
            "step": state.step.name,
            "verb": state.step.verb.name,
            "outputs": list(state.step.outputs),
            "after": list(makers[state.step.name]),
            "current": state.current,
            "why": state.why,
            "command": line,
        }
        for state, line in zip(states, lines, strict=True)
    ]
    blocks: list[Block] = [table]
    if commands:
        blocks += ["Commands:", Code("\n".join(lines))]
    return Document(title, tuple(blocks), {"file": name, "steps": steps})


def run_report(name: str, run: "Run", outcomes: Sequence[Outcome], status: int) -> Document:
    """What each step came to; of a grid also the cells side by side."""
    rows = [[each.step.name, _came_to(each), _summary(each), f"{each.seconds:.1f} s"] for each in outcomes]
    blocks: list[Block] = [Table.of(f"{name}: what came of it", ("step", "", "result", "time"), rows, left=True)]
    if run.cells:
        blocks.append(_side_by_side(run, outcomes))
    failed = [f"{each.step.name}: {each.error}" for each in outcomes if each.error is not None]
    steps = [
        {
            "step": each.step.name,
            "cell": each.step.cell,
            "status": each.status,
            "ran": each.ran,
            "seconds": each.seconds,
            "told": dict(each.told),
            "error": each.error,
        }
        for each in outcomes
    ]
    data = {"file": name, "status": status, "steps": steps, "cells": {cell: dict(said) for cell, said in run.cells.items()}}
    return Document(name, (*blocks, *failed), data)


def _side_by_side(run: "Run", outcomes: Sequence[Outcome]) -> Table:
    inside = [each for each in outcomes if each.step.cell]
    columns = list(dict.fromkeys((each.step.verb.name, label) for each in inside for label in each.told))
    keys = list(next(iter(run.cells.values())))
    rows = []
    for cell, settings in run.cells.items():
        found = {(e.step.verb.name, label): _written(e, label) for e in inside if e.step.cell == cell for label in e.told}
        rows.append([*(str(settings[key]) for key in keys), *(found.get(column, "") for column in columns)])
    return Table.of("The grid", (*keys, *(f"{verb}: {label}" for verb, label in columns)), rows)


def _to_do(state: State) -> str:
    return "current" if state.current else f"to run: {state.why}"


def _came_to(outcome: Outcome) -> str:
    if outcome.error is not None:
        return "failed" if outcome.ran else "not run"
    return _MEANINGS.get(outcome.status, "done") + ("" if outcome.ran else " before")


def _summary(outcome: Outcome) -> str:
    return ", ".join(f"{label} {_written(outcome, label)}" for label in outcome.told)


def _written(outcome: Outcome, label: str) -> str:
    field = _VALUES.get(outcome.step.verb.name, {}).get(label)
    return field[1](outcome.told[label]) if field else str(outcome.told[label])
