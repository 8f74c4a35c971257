"""The QQ plot of p-values of innocents, as an SVG that reads on light and dark pages."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from innocence.verdicts import at_most

INK = "#808890"  # a grey that shows on white and on black
GROUPS = {  # label -> kinds, colour
    "relatives of the base": (("base", "fine-tuned", "merged", "rounded"), "#0f9d76"),
    "answers from the candidates": (("from the candidates",), "#e0701a"),
    "always one response": (("one response",), "#b061c9"),
    "refuses, or half of the time": (("refuses",), "#c9a000"),
    "strangers, other words": (("random weights", "briefly trained", "other words"), "#2f86d6"),
}
SMALLEST = 1e-4
_DRAWN = 120


def draw(
    p_values: Mapping[str, Mapping[str, Sequence[float]]],
    out: Path,
    *,
    groups: Mapping[str, tuple[Sequence[str], str]] = GROUPS,
    smallest: float = SMALLEST,
) -> None:
    """Two panels: all keys asked, and the most favourable moment chosen afterwards. Kind -> way of looking -> p-values."""
    ink = dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), INK)
    plain = {"svg.hashsalt": "innocents", "svg.fonttype": "none", "font.family": "sans-serif", "font.size": 11}
    with mpl.rc_context(ink | plain):
        figure = Figure(figsize=(10, 5.6), layout="constrained")
        left, right = figure.subplots(1, 2, sharex=True, sharey=True)
        for axes, way, title in ((left, "fixed", "all keys asked"), (right, "any_time", "stopped at the best moment")):
            pooled = {label: _pooled(p_values, kinds, way) for label, (kinds, _) in groups.items()}
            curves = {label: (values, groups[label][1]) for label, values in pooled.items() if values}
            _panel(axes, curves, title, smallest)
        left.set_ylabel("p-value")
        handles, labels = left.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False)
        dateless = {"metadata": {"Date": None}} if out.suffix == ".svg" else {}  # the same values, the same file
        figure.savefig(out, transparent=True, **dateless)


def _pooled(p_values: Mapping[str, Mapping[str, Sequence[float]]], kinds: Sequence[str], way: str) -> list[float]:
    return [value for kind in kinds if kind in p_values for value in p_values[kind][way]]


def _panel(axes: Axes, curves: dict[str, tuple[list[float], str]], title: str, smallest: float) -> None:
    fewest = min(len(values) for values, _ in curves.values())
    grid = [smallest ** (1 - step / 200) for step in range(201)]
    limits = [at_most(fewest, alpha) / fewest for alpha in grid]
    label = f"99 % of uniform p-values (n = {fewest:,})"
    axes.fill_betweenx(grid, grid, limits, color=INK, alpha=0.25, lw=0, label=label)
    axes.plot([smallest, 1], [smallest, 1], color=INK, lw=1)
    for label, (found, colour) in curves.items():
        _points(axes, found, label=f"{label} (n = {len(found):,})", colour=colour)
    axes.set(xscale="log", yscale="log", xlim=(smallest, 1.15), ylim=(smallest, 1.15), title=title)
    axes.set_xlabel("share of verdicts with such a p-value or a smaller one")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color=INK, alpha=0.2, lw=0.5)


def _points(axes: Axes, values: list[float], *, label: str, colour: str) -> None:
    """A step at each value that occurs: of ties, the place of the last counts, which is the worst for us."""
    counts = Counter(values)
    shares, seen = [], 0
    for value in sorted(counts):
        seen += counts[value]
        shares.append(seen / len(values))
    values = sorted(counts)
    if len(values) > _DRAWN:  # as many as one can see, all of the smallest among them
        kept = {*range(12), *(round(len(values) ** (step / _DRAWN)) - 1 for step in range(_DRAWN + 1))}
        shares, values = ([row[place] for place in sorted(kept)] for row in (shares, values))
    steps = {"drawstyle": "steps-pre", "marker": "o", "markevery": slice(12)}  # marks where values are few and small
    axes.plot(shares, values, **steps, ms=3.5, lw=1.4, color=colour, label=label)
