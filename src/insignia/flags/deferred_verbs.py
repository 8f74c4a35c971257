"""Verbs whose modules load when they are called: the list of verbs reads its sentences from their source."""

import ast
import difflib
import importlib
import inspect
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

__all__ = ["Verbs", "add_verb", "command_of", "examples"]

_PLAIN = {
    "Input should be a valid number, unable to parse string as a number": "expected a number, such as 0.95",
    "Input should be a valid integer, unable to parse string as an integer": "expected a whole number",
}


class Verbs(TyperGroup):
    """A group of deferred verbs: the one that is called replaces its stub. ``--plugin`` may follow a verb."""

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
        """As click's, with a verb of two words first; ``ctx`` is of a class of its own in typer's private copy of click."""
        if (two := " ".join(args[:2])) in self.commands:
            args = [two, *args[2:]]
        elif len(args) > 1 and not Path(args[1]).exists():
            pairs = [verb for verb in self.commands if verb.startswith(f"{args[0]} ")]
            if near := difflib.get_close_matches(two, pairs, n=1, cutoff=0.85):
                ctx.fail(f"No such command '{two}'. Did you mean '{near[0]}'?")
        name, stub, rest = super().resolve_command(ctx, args)
        return name, stub and command_of(str(stub.name), vars(stub.callback)["target"]), rest

    def invoke(self, ctx: Any) -> Any:
        """As click's, with pydantic's words for a bad value made plain, and the nearest choice named."""
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            from insignia.registry import did_you_mean

            said = error.message.removeprefix("Value error, ")
            said = _PLAIN.get(said, said)
            if " is not one of " in said:
                given, *choices = re.findall("'([^']*)'", said)
                said += did_you_mean(given, choices)
            error.message = said
            raise


def add_verb(app: typer.Typer, name: str, target: str, panel: str) -> str:
    """Add the verb of this name, the function ``target`` ("module:function"); return its sentence in the list of verbs."""

    def stub() -> None:
        """Stands for the verb until it is called."""

    vars(stub)["target"] = target
    sentence = _first_sentence(target)
    app.command(name, help=sentence, rich_help_panel=panel)(stub)
    return sentence


def command_of(name: str, target: str) -> Any:
    """Import the verb and make its command."""
    alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    module, _, attribute = target.partition(":")
    function = getattr(importlib.import_module(module), attribute)
    given = examples(function)
    paragraphs = (inspect.getdoc(function) or "").partition("Examples:\n")[0].split("\n\n")
    text = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)  # typer keeps the source's line ends
    epilog = "\n".join(["\b", "Examples:", *given]) if given else None
    alone.command(name, help=text, epilog=epilog)(function)
    return typer.main.get_command(alone)


def examples(function: Any) -> list[str]:
    """The examples of a verb's docstring."""
    lines = (inspect.getdoc(function) or "").partition("Examples:\n")[2].splitlines()
    return [line.strip() for line in lines if line.strip()]


def _first_sentence(target: str) -> str:
    """The first paragraph of the function's docstring, without importing its module."""
    module, _, name = target.partition(":")
    spec = find_spec(module)
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8")) if spec and spec.origin else ast.Module([], [])
    docs = [ast.get_docstring(node) or "" for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name]
    return " ".join("".join(docs).partition("\n\n")[0].split())
