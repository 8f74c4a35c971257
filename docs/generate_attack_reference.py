"""Write docs/reference/attacks.md from the attacks' docstrings and fields; ``--check`` fails when the file is out of date."""

import inspect
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from generate_api_reference import prose
from written_page import write_or_compare

from insignia.attacks.base import ATTACKS, Attack, HostAttack, WeightAttack
from insignia.docstrings import sentence
from insignia.flags.parameters import fields

TARGET = Path(__file__).parent / "reference" / "attacks.md"
LIMITS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
INTRODUCTION = """# Attacks

Written by `docs/generate_attack_reference.py` from docstrings.

What others do to a marked model, to see what is left of the mark. An attack is a frozen record: its fields are its options. A
name and its fields build one in Python:

```python
from insignia.attacks.base import ATTACKS

attack = ATTACKS.build({"name": "merge", "base": "starter", "weight": 0.3})
```

`insignia list attacks` lists them, also those of plug-ins. [Write a plug-in](../how-to/write-a-plugin.md) adds one.
`insignia evaluate robustness` makes a whole grid of them: [Will my mark survive?](../how-to/will-my-mark-survive.md)
"""
GROUPS: dict[str, tuple[type[Attack], str]] = {
    "On weights": (
        WeightAttack,
        """A model's folder in, another folder out. `insignia attack NAME --model MODEL -o OUT` takes the fields as flags, or by
`--set NAME=VALUE`. The same seed gives the same model. Arithmetic goes tensor by tensor through the files, so a model
need not fit into memory; names, dtypes, shards, tied weights and all other files stay as they are. The output is there
whole or not at all.

```sh
insignia attack merge --model marked --base starter --weight 0.3 -o merged
insignia check prints.json --model merged
```
""",
    ),
    "By the host": (
        HostAttack,
        """Whoever serves the model changes what it is asked, what it says, or the probabilities of the first token. `wrap`
takes a suspect and gives a suspect that offers the same channels:

```python
import insignia

suspect = ATTACKS.build({"name": "suppress_topk", "confidence": 0.9}).wrap(insignia.LocalModel("starter"))
verdict = insignia.Keyring.open("prints.json").verify(suspect)
```

Attacks that need probabilities take a model on this machine; the others go around any suspect, an attacked one too.
""",
    ),
}


def render() -> str:
    """The whole page."""
    parts = [INTRODUCTION]
    for title, (kind, about) in GROUPS.items():
        found = {name: part for name in ATTACKS.builtin() if issubclass(part := ATTACKS.get(name), kind)}
        parts += [f"## {title}\n", about, *(_entry(name, part) for name, part in found.items())]
    return "\n".join(parts)


def _entry(name: str, part: type[Attack]) -> str:
    rows = [
        f"| `{field}` | {_range(info)} | {_default(info)} | {sentence(part, field)} |" for field, info in fields(part).items()
    ]
    table = ["| field | range | default | |", "|---|---|---|---|", *rows, ""]
    return "\n".join([f"### `{name}`\n", prose(inspect.getdoc(part) or ""), *table])


def _range(info: Any) -> str:
    if get_origin(info.annotation) is Literal:
        return ", ".join(f"`{choice}`" for choice in get_args(info.annotation))
    limits = ((word, getattr(bound, name, None)) for bound in info.metadata for name, word in LIMITS.items())
    return ", ".join(f"{word} {limit:g}" for word, limit in limits if limit is not None)


def _default(info: Any) -> str:
    return "" if info.is_required() else f"`{info.default!r}`"


if __name__ == "__main__":
    write_or_compare(TARGET, render())
