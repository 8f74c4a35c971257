"""Write docs/reference/api.md from signatures and docstrings; ``--check`` fails when the file is out of date."""

import ast
import inspect
import itertools
import re
import textwrap
from pathlib import Path
from typing import Any

from written_page import write_or_compare

import insignia
from insignia import embedding, generation, records, vectors
from insignia.attacks import finetuning
from insignia.evaluation import attack_grid, attacking, grid, harmlessness, measuring_harm, robustness
from insignia.keyring import options as verify_options
from insignia.registry import Registry
from insignia.statistics import nulls
from insignia.suspects import base as suspect
from insignia.suspects import endpoint

TARGET = Path(__file__).parent / "reference" / "api.md"
LONGEST_DEFAULT = 200
SECTIONS: dict[str, list[tuple[str, Any]]] = {
    "Functions": [
        (f"insignia.{name}", getattr(insignia, name))
        for name in (
            "generate",
            "embed",
            "check",
            "vector",
            "stamp",
            "finetune",
            "evaluate",
            "load_fingerprints",
            "quiet",
        )
    ]
    + [
        ("insignia.evaluation.measure_robustness", attacking.measure_robustness),
        ("insignia.evaluation.measure_harmlessness", measuring_harm.measure_harmlessness),
    ],
    "Keyring and models": [
        ("insignia.Keyring", insignia.Keyring),
        ("insignia.LocalModel", insignia.LocalModel),
        ("insignia.Endpoint", insignia.Endpoint),
    ],
    "Settings": [
        ("insignia.keyring.options.VerifyOptions", verify_options.VerifyOptions),
        ("insignia.embedding.Limits", embedding.Limits),
        ("insignia.embedding.RunOptions", embedding.RunOptions),
        ("insignia.suspects.endpoint.RetryPolicy", endpoint.RetryPolicy),
        ("insignia.suspects.base.RequestOptions", suspect.RequestOptions),
        ("insignia.evaluation.Grid", grid.Grid),
        ("insignia.evaluation.AttackGrid", attack_grid.AttackGrid),
        ("insignia.evaluation.HarmGrid", harmlessness.HarmGrid),
        ("insignia.evaluation.Mark", attack_grid.Mark),
    ],
    "Results": [
        ("insignia.FingerprintSet", insignia.FingerprintSet),
        ("insignia.embedding.MarkedModel", embedding.MarkedModel),
        ("insignia.embedding.EmbedReport", embedding.EmbedReport),
        ("insignia.CheckReport", insignia.CheckReport),
        ("insignia.Verdict", insignia.Verdict),
        ("insignia.vectors.VectorReport", vectors.VectorReport),
        ("insignia.vectors.StampReport", vectors.StampReport),
        ("insignia.attacks.finetuning.FineTuneReport", finetuning.FineTuneReport),
        ("insignia.evaluation.Evaluation", grid.Evaluation),
        ("insignia.evaluation.Robustness", robustness.Robustness),
        ("insignia.evaluation.AttackOutcome", robustness.AttackOutcome),
        ("insignia.evaluation.Proof", robustness.Proof),
        ("insignia.evaluation.Harmlessness", harmlessness.Harmlessness),
        ("insignia.evaluation.harmlessness.Comparison", harmlessness.Comparison),
        ("insignia.evaluation.harmlessness.TaskChange", harmlessness.TaskChange),
    ],
}
REGISTRIES: dict[str, Registry[Any]] = {
    "Strategies": generation.STRATEGIES,
    "Methods": embedding.METHODS,
    "Nulls": nulls.NULLS,
    "Suspects": suspect.SUSPECTS,
}
INTRODUCTION = """# Python

Written by `docs/generate_api_reference.py` from signatures and docstrings.

`import insignia` is quick: a name is loaded when it is first used. A model is a folder, a hub id, `"starter"`, a `LocalModel`,
or a pair `(model, tokenizer)` of transformers. Results show themselves: `print(report)` gives a few lines, a notebook a table.
Progress shows in a terminal and in a notebook; `insignia.quiet()` hides it. A strategy, a method, a null, a suspect and an
attack are frozen records, whose fields are their options: [Write a plug-in](../how-to/write-a-plugin.md) adds one. Attacks have
[a page of their own](attacks.md).
"""


def render() -> str:
    """The whole page."""
    parts = [INTRODUCTION]
    for title, entries in SECTIONS.items():
        parts += [f"## {title}\n", *(_entry(name, value) for name, value in entries)]
    for title, registry in REGISTRIES.items():
        parts += [f"## {title}\n"]
        for name in registry.names():
            part = registry.get(name)
            parts.append(_entry(f"{part.__module__}.{part.__qualname__}", part, spelling=name))
    return "\n".join(parts)


def _entry(name: str, value: Any, spelling: str | None = None) -> str:
    title = f"### `{name}`" + (f" (`{spelling}`)" if spelling else "")
    record = inspect.isclass(value) and issubclass(value, records.Record)
    shown = [title, "", *([] if record else [_signature(name, value)]), prose(inspect.getdoc(value) or ""), _fields(value)]
    return "\n".join([*shown, *(_methods(value) if inspect.isclass(value) and not record else [])])


def _methods(kind: type) -> list[str]:
    """The public methods of a class that is not a record, with the first paragraph of each docstring."""
    found = [(name, inspect.getattr_static(kind, name)) for name in vars(kind) if not name.startswith("_")]
    functions = [(name, getattr(value, "__func__", value)) for name, value in found]
    return [
        f"- `{name}{_bare(function)}`: {' '.join((inspect.getdoc(function) or '').partition(chr(10) * 2)[0].split())}".replace(
            "``", "`"
        )
        for name, function in functions
        if inspect.isfunction(function)
    ] + [""]


def _bare(function: Any) -> inspect.Signature:
    shown = [parameter.replace(annotation=parameter.empty) for parameter in inspect.signature(function).parameters.values()]
    return inspect.Signature([parameter for parameter in shown if parameter.name not in ("self", "cls")])


def _signature(name: str, value: Any) -> str:
    if inspect.isclass(value) and "__init__" not in vars(value):
        return ""
    lines = textwrap.wrap(f"{name.rpartition('.')[2]}{_bare(value)}", width=110, subsequent_indent="    ")
    return "```text\n" + "\n".join(lines) + "\n```\n"


def prose(doc: str) -> str:
    """Google style docstring as Markdown."""
    text, _, raises = doc.replace("``", "`").partition("\nRaises:\n")
    text = re.sub(r":(?:class|func|meth|mod):`~?([^`]+)`", r"`\1`", text)
    items: list[str] = []
    for line in raises.splitlines():
        if found := re.match(r"    (\w[\w, ]*): (.*)", line):
            items.append(f"- `{found[1]}`: {found[2]}")
        elif items and line.strip():
            items[-1] += f" {line.strip()}"
    return "\n".join([text.rstrip(), *(["", "Raises:", "", *items] if items else []), ""])


def _fields(value: Any) -> str:
    if not inspect.isclass(value) or not issubclass(value, records.Record):
        return ""
    sentences = {name: text for kind in reversed(value.__mro__) for name, text in _sentences(kind).items()}
    rows = []
    for name, field in value.model_fields.items():
        if name == "name" and isinstance(field.default, str):
            continue
        default = "" if field.is_required() else f"`{field.get_default(call_default_factory=True)!r}`"
        default = default if len(default) < LONGEST_DEFAULT else "the bundled recipe's"
        rows.append(f"| `{name}` | {default} | {sentences.get(name, '')} |")
    return "\n".join(["| field | default | |", "|---|---|---|", *rows, ""]) if rows else ""


def _sentences(kind: type) -> dict[str, str]:
    """Field -> the docstring below it."""
    try:
        (body,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    except (OSError, TypeError):
        return {}
    found = {}
    statements = getattr(body, "body", [])
    for field, below in itertools.pairwise(statements):
        if isinstance(field, ast.AnnAssign) and isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
            found[getattr(field.target, "id", "")] = (
                " ".join(str(below.value.value).split()).replace("``", "`").replace("|", "\\|")
            )
    return found


if __name__ == "__main__":
    write_or_compare(TARGET, render())
