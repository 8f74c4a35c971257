"""Write the tables of what-survives.md and all-attacks.md in docs/explanation from the JSON files beside; ``--check`` compares.

``python benchmarks/robustness.py --json docs/explanation/what-survives.json`` measured them. A table is between two comments,
``<!-- table: host -->`` and ``<!-- end of table -->``.
"""

import json
import math
import re
import statistics
from pathlib import Path

from written_page import write_or_compare

FOLDER = Path(__file__).parent / "explanation"
TABLE = re.compile(r"<!-- table: (\w+) -->\n.*?<!-- end of table -->", re.DOTALL)


def keys(rows: list[dict], channel: str | None) -> str:
    """Median keys until proof over seeds, of two the larger; - if not proven. None: the strongest channel that was asked."""
    chosen = [row["keys"] for row in rows if row["keys"]]
    found = [each[channel or next(iter(each))] for each in chosen if channel is None or channel in each]
    median = statistics.median_high(math.inf if each is None else each for each in found) if found else math.inf
    return "-" if median == math.inf else f"{median:g}"


def cell(rows: list[dict]) -> str:
    """What is left of one mark: hits in text, keys by the strongest channel and by text."""
    if not rows:
        return ""
    return f"{100 * statistics.mean(row['fsr'] for row in rows):.0f} % {keys(rows, None)}/{keys(rows, 'text')}"


def line(rows: list[dict], marks: list[str]) -> str:
    """One attack at one strength."""
    ratios = [row["perplexity"] for row in rows if row["perplexity"] is not None]
    owned, tests = (sum(row["controls"][place] for row in rows) for place in (0, 1))
    cells = [
        f"{rows[0]['attack']} {rows[0]['strength']}".strip(),
        f"x{statistics.median(ratios):.3f}" if ratios else "-",
        f"{100 * statistics.median(row['changed'] for row in rows):.0f} %",
        *(cell([row for row in rows if row["mark"] == mark]) for mark in marks),
        f"{owned} of {tests}" if tests else "-",
        str(len({row["seed"] for row in rows})),
    ]
    return f"| {' | '.join(cells)} |"


def table(measured: dict, on: str) -> str:
    """All attacks of a kind: ``weights`` by arithmetic, ``training`` on weights, or ``host``."""
    chosen = [row for row in measured["rows"] if row["kind"] == on]
    marks = [mark for mark in measured["marks"] if any(row["mark"] == mark for row in chosen)]
    labels = list(dict.fromkeys((row["attack"], row["strength"]) for row in chosen))
    header = ["attack", "perplexity", "changed", *marks, "controls owned", "seeds"]
    lines = [f"| {' | '.join(header)} |", f"|{'|'.join(['---', *['---:'] * (len(header) - 1)])}|"]
    lines += [line([row for row in chosen if (row["attack"], row["strength"]) == label], marks) for label in labels]
    return "\n".join(lines) + "\n"


def price(measured: dict) -> str:
    """What each kind of mark costs before any attack."""
    lines = ["| mark | seed: held-out perplexity |", "|---|---|"]
    for mark, found in measured["marks"].items():
        costs = ", ".join(f"{seed}: x{ratio:.4f}" for seed, ratio in found.items())
        lines.append(f"| {mark} | {costs} |")
    return "\n".join(lines) + "\n"


def written(name: str) -> None:
    """Write the tables of a page."""
    measured = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    page = FOLDER / f"{name}.md"
    tables = {"price": price(measured)} | {kind: table(measured, kind) for kind in ("weights", "training", "host")}
    text = TABLE.sub(
        lambda found: f"<!-- table: {found[1]} -->\n\n{tables[found[1]]}\n<!-- end of table -->",
        page.read_text(encoding="utf-8"),
    )
    write_or_compare(page, text)


if __name__ == "__main__":
    for name in ("what-survives", "all-attacks"):
        written(name)
