"""The ``insignia`` command: its verbs, its one error handler and its exit status.

0 done (``check``, ``verify``, ``audit``: the mark was found) · 1 something went wrong · 2 bad command line · 3 asked, and not
found · 4 inconclusive.
"""

import io
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from insignia.flags.deferred_verbs import Verbs, add_verb
from insignia.flags.outcomes import explained
from insignia.terminal import has_control_characters, printable, quiet_libraries

if TYPE_CHECKING:
    from insignia.flags.fields import Stage

__all__ = ["VERBS", "app", "main", "stages", "target"]

_GROUPS = {
    "Start here": "demo, init, init run, run, show, list, env",
    "Mark": "plan, generate, embed, check, vector, stamp",
    "License": "issue, licensees, trace",
    "Publish": "publish",
    "Prove": "verify, null, commit, disclose, audit, report, share, lock, unlock",
    "Test": "finetune, attack, evaluate, evaluate harmlessness, evaluate robustness, export",
}
_HOMES = {
    "unlock": "lock:unlock",
    "list": "listing:list_parts",
    "evaluate harmlessness": "harmlessness:harmlessness",
    "init run": "init_run:init_run",
    "evaluate robustness": "robustness:robustness",
}  # module and function of the others have the verb's name


def target(verb: str) -> str:
    """Module and function of a verb."""
    return f"insignia.cli.{_HOMES.get(verb, f'{verb}:{verb}')}"


def stages() -> "list[Stage]":
    """What the verbs that take a recipe can be told by it; loads them all."""
    from insignia.registry import located

    found = (getattr(located(target(verb)), "stage", None) for verb in VERBS)
    return [stage for stage in found if stage is not None]


app = typer.Typer(
    name="insignia",
    cls=Verbs,
    help="Secret, provable ownership fingerprints for language models.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # a traceback with local variables would show secrets
    context_settings={"help_option_names": ["-h", "--help"]},
)
VERBS = {
    verb: add_verb(app, verb, target(verb), group)  # in the order of the list
    for group, verbs in _GROUPS.items()
    for verb in verbs.split(", ")
}


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"insignia {version('insignia')}")
        raise typer.Exit


@app.callback()
def _root(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    plugin: Annotated[
        list[Path] | None,
        typer.Option(
            envvar="INSIGNIA_PLUGINS",
            help="Python file that adds strategies, methods, report formats or other parts. It is run. Several: repeat it.",
        ),
    ] = None,
) -> None:
    """Secret, provable ownership fingerprints for language models."""
    del show_version
    if plugin:
        from insignia.registry import load_plugin

        for file in plugin:
            load_plugin(file)


def main() -> None:
    """Run the command; errors that are the user's to read become one line and exit status 1."""
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123  closed by the caller, as by >&-
    sys.stderr = sys.stderr or sys.stdout
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # what an old code page lacks, as standard error shows it
    if any(map(has_control_characters, sys.argv)):  # the parser would repeat what it cannot read
        typer.echo("error: an argument holds control characters; expected printable text", err=True)
        sys.exit(2)
    quiet_libraries()
    try:
        app(prog_name="insignia")  # also the name that completion goes by
    except Exception as error:
        if (said := explained(error)) is None:
            raise
        _fail(said)


def _fail(message: str) -> None:
    typer.echo(f"error: {printable(message)}", err=True)
    sys.exit(1)
