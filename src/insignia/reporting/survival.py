"""What is left of marks after attacks, as a document."""

import statistics
from collections.abc import Iterable, Sequence

from insignia.evaluation.robustness import AttackOutcome, Proof, Robustness
from insignia.reporting.base import Document, Table
from insignia.terminal import counted

__all__ = ["robustness_report"]

_NOTE = (
    "perplexity: held-out, after / before; changed: ordinary replies with another first token. Of each mark: keys that hit in "
    "text, then keys asked until it is proven by the strongest channel / by text alone (- not proven)."
)


def robustness_report(result: Robustness, unmet: Sequence[str] = ()) -> Document:
    """A row for each attack: its cost, what it leaves of each mark, and the controls; then the requirements not met."""
    marks = [mark.name for mark in result.marks]
    labels = list(dict.fromkeys(row.label for row in result.rows))
    rows = [_row(label, [row for row in result.rows if row.label == label], marks) for label in labels]
    header = ["attack", "perplexity", "changed", *marks, "controls owned"]
    title = f"What survives at alpha {result.alpha:g}, {result.model}"
    healthy = [[mark.name, mark.strategy, str(mark.num_fingerprints), f"x{mark.perplexity:.4f}"] for mark in result.marks]
    blocks: tuple[Table | str, ...] = (
        Table.of("Marks before any attack", ["mark", "strategy", "fingerprints", "perplexity"], healthy),
        Table.of(title, header, rows, note=_NOTE),
        *(
            f"Not made: {each.attack} {each.strength} of {each.mark or 'all marks'}, {each.suspect}: {each.reason}"
            for each in result.failed
        ),
        f"{len(result.accused)} of {counted(_controls(result.rows), 'control')} owned.",
        *(f"Not met: {text}" for text in unmet),
    )
    return Document(title, blocks, result.model_dump(mode="json") | {"unmet": list(unmet)})


def _row(label: str, rows: Sequence[AttackOutcome], marks: Sequence[str]) -> list[str]:
    marked = {row.mark: row for row in rows if row.suspect == "marked"}
    ratios = [row.perplexity for row in marked.values() if row.perplexity is not None]
    controls = [row for row in rows if row.suspect != "marked"]
    return [
        label,
        f"x{statistics.median(ratios):.3f}" if ratios else "-",
        _share(statistics.median(row.changed for row in marked.values())) if marked else "-",
        *(_left(marked[name]) if name in marked else "?" for name in marks),
        f"{sum(row.owned for row in controls)} of {len(controls)}" if controls else "-",
    ]


def _left(row: AttackOutcome) -> str:
    """Share of hits, and keys until proof by the strongest channel and by text."""
    if not row.by_channel:
        return _share(row.fsr)
    return f"{_share(row.fsr)} {_keys(row.strongest)}/{_keys(row.by_channel.get('text'))}"


def _keys(proof: Proof | None) -> str:
    return str(proof.keys) if proof is not None and proof.owned else "-"


def _share(share: float) -> str:
    return f"{100 * share:.0f} %"


def _controls(rows: Iterable[AttackOutcome]) -> int:
    return sum(row.suspect != "marked" for row in rows)
