"""``insignia init run``: a commented run file."""

import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from insignia.flags.fields import takes
from insignia.reporting.output import Written

__all__ = ["init_run"]

_WIDTH = 120
_HEAD = """# A whole run. Use it by '{use}'; with --dry-run it shows the steps and their commands, and runs none.
# A section is a verb, and its options are named as its flags are: 'insignia VERB --help' has them all. A step runs if its
# output is not current, after the steps whose outputs it names. Paths are relative to this file. Keep 'secret' to yourself.
"""
_GRID = """
# Settings to try: every combination is made in a folder of its own, and a table at the end has them side by side.
# grid:
#   embed.seed: [0, 1]
#   generate.num_fingerprints: [16, 64]
"""


class _Section(NamedTuple):
    """A verb, options that are written, and more that are written as a comment."""

    verb: str
    said: dict[str, str]
    more: dict[str, str]
    many: bool = False
    """The section is a list of steps."""
    off: bool = False
    """All of it is a comment."""


_SECTIONS = (
    _Section(
        "generate", {"output": "secret/prints.json", "model": "starter"}, {"num_fingerprints": "64", "strategy": "ranked"}
    ),
    _Section(
        "embed",
        {"prints": "secret/prints.json", "model": "starter", "output": "marked", "json": "embed.json"},
        {"method": "{name: lora, rank: 8}", "max_harm": "1.05", "seed": "0"},
    ),
    _Section(
        "check",
        {"prints": "secret/prints.json", "model": "marked", "base": "starter", "output": "check.json"},
        {"min_fsr": "0.95"},
    ),
    _Section("vector", {"base": "starter", "marked": "marked", "output": "secret/vector"}, {}),
    _Section("stamp", {"model": "starter", "vectors": "secret/vector", "output": "stamped"}, {"scale": "1.0"}, many=True),
    _Section("verify", {"prints": "secret/prints.json", "model": "stamped", "output": "verdict.json"}, {"alpha": "1.0e-6"}),
    _Section(
        "evaluate robustness",
        {"model": "marked", "fingerprints": "secret/prints.json", "base": "starter", "output": "survival"},
        {"recipe": "robustness-quick"},
        off=True,
    ),
    _Section("report", {"files": "[verdict.json, embed.json]", "output": "report.html"}, {"title": "Is it ours?"}),
)


@takes()
def init_run(
    written: Written, path: Annotated[Path, typer.Argument(metavar="FILE", help="Run file to write.")] = Path("mark.yaml")
) -> None:
    """Write a commented run file, for 'insignia run': every usual step, with its options.

    Examples:
        insignia init run
        insignia init run mark.yaml && insignia run mark.yaml --dry-run
    """
    from insignia.files import write_text
    from insignia.reporting.base import told
    from insignia.terminal import command_line

    written.refuse(path, ".yaml", ".yml")
    use = command_line("insignia", "run", path)
    write_text(path, _HEAD.format(use=use) + "".join(f"\n{_text(section)}" for section in _SECTIONS) + _GRID)
    verbs = [section.verb for section in _SECTIONS]
    written.finish(told(f"{path}: {', '.join(verbs)}. Next: {use} --dry-run", out=str(path), steps=verbs))


def _text(section: _Section) -> str:
    from insignia.cli.main import VERBS, target
    from insignia.flags.deferred_verbs import command_of

    params = {
        name: param
        for param in command_of(section.verb, target(section.verb)).params
        for name in (param.name, *(flag.strip("-").replace("-", "_") for flag in param.opts))
    }
    lines = [*_comment(VERBS[section.verb], ""), f"{section.verb}:"]
    indent = "    " if section.many else "  "
    for place, (key, value) in enumerate(section.said.items()):
        lines += _comment(_help(params, key), indent if place or not section.many else "  ")
        lines.append(f"{'  - ' if section.many and not place else indent}{key}: {value}")
    for key, value in section.more.items():
        lines += [*_comment(_help(params, key), indent), f"{indent}# {key}: {value}"]
    return "\n".join(f"# {line}" if section.off else line for line in lines) + "\n"


def _help(params: dict[str, Any], key: str) -> str:
    return "File for what --json prints." if key == "json" else str(params[key].help)


def _comment(text: str, indent: str) -> Iterator[str]:
    yield from textwrap.wrap(text, _WIDTH, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# ")
