"""Runs the steps that are not current, one after another, each as its verb."""

import contextlib
import io
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

import typer

from insignia.errors import InputError, OutputError
from insignia.files import write_json
from insignia.flags.outcomes import explained
from insignia.progress import Progress
from insignia.runs.run_files import Run, needs
from insignia.runs.stamps import Digests, Made, Stamp
from insignia.runs.steps import KEPT, Outcome, State, Step
from insignia.runs.told import told_of

__all__ = ["make", "planned", "worst"]

_FAILED = 1
_BY_SIGNAL = 128  # exit statuses from here on: a signal stopped the verb
_CHANGED = "was changed by something else"
_WORST_FIRST = (1, 2, 3, 4, 0)
"""An error outweighs 'not found', which outweighs 'inconclusive'."""


def planned(run: Run, digests: Digests, *, force: bool) -> list[State]:
    """What is current and what is to be made.

    Raises:
        OutputError: with ``force`` off, a step would replace what no run made, or what is never replaced.
    """
    states: dict[str, State] = {}
    for step in run.steps:
        pending = [other.name for other in needs(step, run.steps) if not states[other.name].current]
        state = states[step.name] = _state(step, digests, pending)
        there = sorted(digests.outputs(step))
        if state.current or force or not there:
            continue
        stamp = Stamp.of(step)
        if stamp is None or (stamp.done and state.why.endswith(_CHANGED)):
            why = f"{there[0]} exists, and no run of this step made it" if stamp is None else state.why
            raise OutputError(
                f"{step.name}: {why}; if it is what later steps need, take the step out of the file. Otherwise choose "
                "another output, or pass --force to replace it"
            )
        if step.verb.name in KEPT and stamp.done:
            raise OutputError(
                f"{step.name}: {there[0]} would be made anew, since {state.why}. What was made by the old one, or promised, "
                "would be lost; choose another output, or pass --force to replace it"
            )
    return list(states.values())


def make(run: Run, digests: Digests, *, quiet: bool, progress: Progress) -> list[Outcome]:
    """Make every step that is not current; one that fails stops those that need it and no other.

    Raises:
        typer.Exit: a signal stopped a step. The same run goes on with it.
    """
    outcomes: dict[str, Outcome] = {}
    for number, step in enumerate(run.steps, 1):
        lacking = [other.name for other in needs(step, run.steps) if outcomes[other.name].error is not None]
        if lacking:
            outcomes[step.name] = Outcome(step, _FAILED, ran=False, error=f"not run: it needs {lacking[0]}")
            continue
        state = _state(step, digests, ())
        if state.current:
            outcomes[step.name] = _kept(step, digests)
            continue
        progress.note(f"[{number}/{len(run.steps)}] {step.name}: {state.why}")
        outcome = outcomes[step.name] = _made(step, digests, quiet=quiet)
        if outcome.error is not None:
            progress.note(f"{step.name}: {outcome.error}")
    return list(outcomes.values())


def worst(outcomes: Sequence[Outcome]) -> int:
    """The exit status of a run: the worst of its steps'."""
    return min((outcome.status for outcome in outcomes), key=_WORST_FIRST.index, default=0)


def _state(step: Step, digests: Digests, pending: Sequence[str]) -> State:
    stamp, made = Stamp.of(step), digests.made(step)
    if stamp is None:
        return State(step, False, "it was not made yet")
    if _finished(step, stamp, made, digests):
        return State(step, True, "current")
    return State(step, *_judged(stamp, made, digests.outputs(step), pending))


def _judged(stamp: Stamp, made: Made, there: Mapping[str, str], pending: Sequence[str]) -> tuple[bool, str]:
    if stamp.status is None:
        return False, "it was cut short"
    if not stamp.done:
        return False, "it failed"
    if stamp.made.settings != made.settings:
        return False, "its settings changed"
    if stamp.made.insignia != made.insignia:
        return False, f"insignia {stamp.made.insignia} made it"
    if changed := _different(stamp.made.inputs, made.inputs):
        return False, f"{changed} changed"
    if changed := _different(stamp.outputs, {path: digest for path, digest in there.items() if path in stamp.outputs}):
        return False, f"{changed} {_CHANGED if changed in there else 'was removed'}"
    if pending:
        return False, f"{pending[0]} is made anew"
    return True, "current"


def _different(before: Mapping[str, str], now: Mapping[str, str]) -> str | None:
    return next((path for path in {**before, **now} if before.get(path) != now.get(path)), None)


def _finished(step: Step, stamp: Stamp, made: Made, digests: Digests) -> bool:
    """Whether a run was killed between the output, which is whole or absent, and its stamp; matters where none is replaced."""
    there = digests.outputs(step)
    return step.verb.name in KEPT and stamp.status is None and stamp.made == made and set(step.outputs) == there.keys()


def _kept(step: Step, digests: Digests) -> Outcome:
    stamp = Stamp.of(step)
    if stamp is None or stamp.status is None:  # whole, but killed before it was said
        stamp = Stamp(made=digests.made(step), status=0, outputs=digests.outputs(step))
        stamp.save(step)
    return Outcome(step, stamp.status or 0, ran=False, seconds=stamp.seconds, told=stamp.told)


def _made(step: Step, digests: Digests, *, quiet: bool) -> Outcome:
    before, made = Stamp.of(step), digests.made(step)
    flags = ["--json", *(["--quiet"] if quiet else [])]
    if step.verb.has("--force") and digests.outputs(step):
        flags.append("--force")
    if step.verb.has("--resume") and before is not None and before.status is None and before.made == made:
        flags.append("--resume")
    Stamp(made=made).save(step)
    started, printed = time.perf_counter(), io.StringIO()
    status, error = _called(step, flags, printed)
    seconds = round(time.perf_counter() - started, 3)
    digests.forget(*step.outputs)
    result = None
    if error is None:
        result = _result(printed.getvalue())
        if step.result is not None:
            write_json(step.result, result)
    told = told_of(step.verb.name, result)
    Stamp(made=made, status=status, outputs=digests.outputs(step), told=told, seconds=seconds).save(step)
    return Outcome(step, status, ran=True, seconds=seconds, told=told, error=error)


def _called(step: Step, flags: Sequence[str], printed: io.StringIO) -> tuple[int, str | None]:
    """Exit status of the verb, and the error if there was one."""
    try:
        with contextlib.redirect_stdout(printed):
            status = step.verb.command.main(args=step.command_line(*flags), prog_name=step.verb.name, standalone_mode=False)
    except SystemExit as ended:
        status = ended.code
    except typer.Abort:  # Ctrl-C
        raise typer.Exit(_BY_SIGNAL + 2) from None
    except typer.BadParameter as error:
        return _FAILED, error.format_message()
    except Exception as error:
        if (said := explained(error)) is None:
            raise
        return _FAILED, said
    status = status if isinstance(status, int) else 0
    if status >= _BY_SIGNAL:
        raise typer.Exit(status)
    return status, "it failed" if status in (1, 2) else None


def _result(printed: str) -> Any:
    try:
        return json.loads(printed)
    except ValueError as error:
        raise InputError("a verb printed something else than one JSON object; is a plug-in printing?") from error
