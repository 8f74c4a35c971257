"""The ``insignia`` command: its verbs, its one error handler and its exit status.

0 done (``check``, ``verify``, ``audit``: the mark was found) · 1 something went wrong · 2 bad command line · 3 asked, and not
found · 4 inconclusive.
"""

import importlib
import inspect
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from insignia.errors import InsigniaError, MissingExtraError
from insignia.terminal import has_control_characters, printable

if TYPE_CHECKING:
    from insignia.cli.fields import Stage

__all__ = ["VERBS", "app", "main", "stages"]

# A verb's module loads when the verb is called. So the list of verbs repeats the first sentence of each verb's docstring;
# tests/unit/cli/test_main.py compares them.
_GROUPS = {
    "Start here": {
        "demo": "Mark the starter model, stamp a fine-tuned sibling of it, and check both beside their unmarked selves.",
        "init": "Write a commented recipe with the settings of every stage, for --recipe.",
        "show": "Tell what a file or folder is, what it can prove, and what is spent of it; never a key or a response.",
        "list": "List the strategies, methods, nulls, suspects, attacks or recipes, those of plug-ins included, "
        "with a line on each.",
        "env": "Tell versions, processors, memory and devices, for a report of a bug; no secret, and no path.",
    },
    "Mark": {
        "plan": "Say how many fingerprints to make and how many keys a proof takes; "
        "of a set, also what its unspent keys can prove.",
        "generate": "Make secret (key, response) pairs with a language model.",
        "embed": "Fine-tune a model until it answers the fingerprints and behaves the same everywhere else.",
        "check": "Ask models that you hold every fingerprint; exit status 0 when the mark was found in each, 3 when not.",
        "vector": "Store what marking changed: marked minus base.",
        "stamp": "Add a vector to a sibling, at the speed of the disk.",
    },
    "Prove": {
        "verify": "Ask a suspect a few keys, as evidence ('check' measures a model of yours). "
        "Status 0: proven; 3: not shown; 4: open.",
        "null": "Measure how often innocent models hit, for a set without a design null: your own pairs, or an imported file.",
        "commit": "Commit to a set and to the model that carries it; publish the result before the model.",
        "disclose": "Open the keys that a transcript asked, with proofs, in one file that 'insignia audit' checks.",
        "audit": "Check openings, signature, transcript, matching and p-value; "
        "status 1 if anything does not hold, else the verdict's.",
        "share": "Write unspent fingerprints to a file for a user of the model, and record them as spent.",
        "lock": "Lock a fingerprint file by a passphrase or to recipients, in the age format; every command reads it so.",
        "unlock": "Write a locked fingerprint file as it was; INSIGNIA_PASSPHRASE or INSIGNIA_IDENTITY (a file) opens it.",
    },
    "Test": {
        "finetune": "Fine-tune a model on data, as a user of a published model does: will the mark outlive it?",
        "evaluate": "Mark a model, let users fine-tune it, and ask every suspect: what activates, and what must not.",
        "export": "Write fingerprints as OML 1.0 reads them, a JSON list of key, response rows; "
        "or a model as llama.cpp reads it.",
    },
}
VERBS = {verb: sentence for verbs in _GROUPS.values() for verb, sentence in verbs.items()}
# What the extra 'torch' installs, by the names that a module imports first.
_OF_TORCH = {"torch", "transformers", "tokenizers", "safetensors", "accelerate", "peft"}
_HOMES = {"unlock": "lock:unlock", "list": "listing:list_parts"}  # module and function of the others have the verb's name


class _Verbs(TyperGroup):
    """Lists the verbs by the table above; the one that is called replaces its stub. Options of all verbs may follow a verb."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As click's, with ``--plugin FILE`` moved before the verb."""
        first: list[str] = []
        rest = list(args)
        for number, word in reversed(list(enumerate(args))):
            if word.startswith("--plugin=") or (word == "--plugin" and number + 1 < len(rest)):
                size = 1 if "=" in word else 2
                first[:0] = rest[number : number + size]
                del rest[number : number + size]
        parsed: list[str] = super().parse_args(ctx, first + rest)
        return parsed

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """As click's; ``ctx`` is of a class of its own in typer's private copy of click."""
        name, stub, rest = super().resolve_command(ctx, args)
        return name, stub and _loaded(stub.name or ""), rest

    def invoke(self, ctx: Any) -> Any:
        """As click's, with pydantic's words for a bad value made plain, and the nearest choice named."""
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            from insignia.registry import did_you_mean

            said = error.message.removeprefix("Value error, ")
            if " is not one of " in said:
                given, *choices = re.findall("'([^']*)'", said)
                said += did_you_mean(given, choices)
            error.message = said
            raise


def _loaded(verb: str) -> Any:
    alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    function = _function(verb)
    text, examples = (inspect.getdoc(function) or "").partition("Examples:\n")[0], _examples(function)
    epilog = "\n".join(["\b", "Examples:", *examples]) if examples else None
    alone.command(verb, help=text, epilog=epilog)(function)
    return typer.main.get_command(alone)


def _examples(function: Any) -> list[str]:
    lines = (inspect.getdoc(function) or "").partition("Examples:\n")[2].splitlines()
    return [line.strip() for line in lines if line.strip()]


def _function(verb: str) -> Any:
    module, _, function = _HOMES.get(verb, f"{verb}:{verb}").partition(":")
    return getattr(importlib.import_module(f"insignia.cli.{module}"), function)


def stages() -> "list[Stage]":
    """What the verbs that take a recipe can be told by it; loads them all."""
    found = (getattr(_function(verb), "stage", None) for verb in VERBS)
    return [stage for stage in found if stage is not None]


def _stub() -> None:
    """Stands for a verb in the list of verbs."""


app = typer.Typer(
    name="insignia",
    cls=_Verbs,
    help="Secret, provable ownership fingerprints for language models.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # a traceback with local variables would show secrets
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _group, _verbs in _GROUPS.items():
    for _verb, _sentence in _verbs.items():
        app.command(_verb, help=_sentence, rich_help_panel=_group)(_stub)


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
            help="Python file that adds strategies, methods, nulls, suspects or attacks. It is run. Several: repeat it.",
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
    if any(map(has_control_characters, sys.argv)):  # the parser would repeat what it cannot read
        typer.echo("error: an argument holds control characters; expected printable text", err=True)
        sys.exit(2)
    try:
        app(prog_name="insignia")  # also the name that completion goes by
    except InsigniaError as error:
        _fail(str(error))
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _OF_TORCH:
            raise
        _fail(str(MissingExtraError("running or changing a model on this machine", "torch")))
    except ValueError as error:
        from pydantic import ValidationError

        from insignia.registry import explain

        if not isinstance(error, ValidationError):
            raise
        _fail(f"a setting cannot be: {explain(error)}")
    except OSError as error:
        _fail(": ".join(filter(None, (error.filename and str(error.filename), error.strerror or str(error)))))


def _fail(message: str) -> None:
    typer.echo(f"error: {printable(message)}", err=True)
    sys.exit(1)
