"""Curves as plain data, and as pictures: SVG that stands inside a page, drawn by matplotlib in the ink of the page.

Lines and letters take the text's colour, so that one picture serves light and dark pages and paper. Curves differ in colour, in
dashes and in the shape of their points. A picture holds no script and loads nothing.
"""

import hashlib
import html
import io
import itertools
import math
import re
import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from insignia.errors import MissingExtraError
from insignia.terminal import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Axis", "Curve", "Figure", "can_draw", "draw"]

_INK = "#010203"  # stands for the text's colour until the picture is written; no curve has it
# Seen on white and on black, at a contrast of at least 3 to 1. The dashes and points tell curves apart on grey paper.
_COLOURS = ("#0b8f6a", "#d8660f", "#2b7fd0", "#a855c4", "#a08400", "#d43f68", "#6b7b8a", "#4f63c6")
_DASHES = ("-", "--", "-.", ":")
_MARKERS = "osD^vPX*"
_NAME = 40  # characters of a name that a picture has room for
_FEW = 40  # points of a curve that are marked one by one
_TICKS = 6
_RAISED = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")
_LARGE = {0: "1", 1: "10", 2: "100", 3: "1,000", 6: "1 million", 9: "1 billion", 12: "1 trillion"}
_FONT = "'DejaVu Sans', sans-serif"
_BODY = '<g id="figure_1">'  # all that matplotlib draws; before it are the frame, a style for the whole page, and its own name
_PLACE = re.compile(r'(?<= )(?:d|x|y)="[^"<>]*"')
_DIGITS = re.compile(r"(\.\d\d)\d+")  # a picture is as sharp with two decimals, and weighs less
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,  # a name may hold a dollar sign
    "font.family": ["sans-serif"],
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.unicode_minus": False,
    "lines.markersize": 4,
    "lines.linewidth": 1.6,
    "legend.frameon": False,
    **dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color", "grid.color"), _INK),
}


class Axis(NamedTuple):
    """One axis of a figure."""

    label: str
    logarithmic: bool = False
    """Whether equal factors are equally far apart, where the values span more than a factor of ten."""
    ticks: tuple[tuple[float, str], ...] = ()
    """Places with names, in place of numbers."""
    least: float | None = None
    """Where the axis begins and, below, ends; None: where the curves do."""
    most: float | None = None
    powers: bool = False
    """Whether the values are exponents of ten."""

    def named(self, value: float) -> str:
        """The name of a place, or its number."""
        if self.powers:
            return f"10^{round(value, 1) + 0.0:.1f}"  # no -0.0
        return next((name for place, name in self.ticks if place == value), f"{value:.4g}")


class Curve(NamedTuple):
    """A row of points with a name."""

    name: str
    points: tuple[tuple[float, float], ...]
    labels: tuple[str, ...] = ()
    """What each point is, where a figure has no order from left to right."""
    joined: bool = True
    """Whether a line joins the points."""
    spans: tuple[tuple[float, float], ...] = ()
    """From where to where each point may be, from left to right."""


class Figure(NamedTuple):
    """Curves over two axes."""

    title: str
    about: str
    """What is to be seen, for those who do not see it."""
    x: Axis
    y: Axis
    curves: tuple[Curve, ...]
    threshold: tuple[float, str] | None = None
    """A height with a name, where something is decided."""
    limit: tuple[float, str] | None = None
    """A place on the x axis with a name, likewise."""
    front: bool = False
    """Whether a thin line joins the points of a curve that no other point is both left of and below (Pareto's front)."""

    def rows(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        """The numbers as the header and the rows of a table: a column for each curve, where the points need no names."""
        if any(curve.labels for curve in self.curves):
            axes = [(axis, place) for place, axis in enumerate((self.x, self.y)) if not axis.ticks]  # else the labels name it
            named = [
                (label, *(axis.named(point[place]) for axis, place in axes), curve.name)
                for curve in self.curves
                for label, point in zip(curve.labels, curve.points, strict=True)
            ]
            return ("", *(axis.label for axis, _ in axes), ""), named
        columns = [dict(curve.points) for curve in self.curves]
        places = sorted({x for column in columns for x in column})
        rows = [(self.x.named(x), *(self.y.named(column[x]) if x in column else "-" for column in columns)) for x in places]
        return (self.x.label, *(curve.name for curve in self.curves)), rows


def can_draw() -> bool:
    """Whether matplotlib is installed."""
    return find_spec("matplotlib") is not None


def draw(figure: Figure) -> str:
    """The figure as an SVG element. The same figure gives the same bytes.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    if not can_draw():
        raise MissingExtraError("drawing figures", "report")
    import matplotlib as mpl  # noqa: PLC0415  optional, and slow to load
    from matplotlib.backends.backend_svg import FigureCanvasSVG  # noqa: PLC0415
    from matplotlib.figure import Figure as Canvas  # noqa: PLC0415

    salt, out = hashlib.sha256(repr(figure).encode("utf-8", "replace")).hexdigest()[:12], io.StringIO()
    with mpl.rc_context(_STYLE | {"svg.hashsalt": salt}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # the reader's fonts show it, not matplotlib's
        columns = 1 if any(len(curve.name) > _NAME // 2 for curve in figure.curves) else 2
        lines = -(-len(figure.curves) // columns) if len(figure.curves) > 1 else 0
        height = max(2.7, 0.6 + 0.2 * len(figure.y.ticks)) + 0.18 * lines
        canvas = Canvas(figsize=(4.3, height), layout="constrained", facecolor="none")
        _plot(canvas.add_subplot(facecolor="none"), figure)
        if lines:
            canvas.legend(loc="outside lower center", ncols=columns, handlelength=3)
        FigureCanvasSVG(canvas)
        canvas.savefig(out, format="svg", metadata={"Date": None})
    return _embedded(out.getvalue(), figure)


def _plot(axes: "Axes", figure: Figure) -> None:
    for number, curve in enumerate(figure.curves):
        few = len(curve.points) <= _FEW or not curve.joined
        axes.plot(
            [x for x, _ in curve.points],
            [y for _, y in curve.points],
            label=_short(curve.name),
            color=_COLOURS[number % len(_COLOURS)],
            linestyle=_DASHES[number % len(_DASHES)] if curve.joined else "none",
            marker=_MARKERS[number % len(_MARKERS)] if few else "none",
        )
        for (_, y), span in zip(curve.points, curve.spans, strict=False):
            axes.plot(span, (y, y), color=_COLOURS[number % len(_COLOURS)], linewidth=1.2)
        if figure.front:
            axes.step(
                *zip(*_front(curve.points), strict=True), where="post", color=_COLOURS[number % len(_COLOURS)], linewidth=0.8
            )
    dashed: dict[str, Any] = {"color": _INK, "linewidth": 1, "linestyle": (0, (4, 3))}
    place: dict[str, Any] = {"textcoords": "offset points", "fontsize": 8}
    if figure.threshold is not None:
        height, name = figure.threshold
        axes.axhline(height, **dashed)
        axes.annotate(_short(name), (0, height), (3, 3), xycoords=("axes fraction", "data"), **place)
    if figure.limit is not None:
        left, name = figure.limit
        axes.axvline(left, **dashed)
        axes.annotate(_short(name), (left, 1), (3, 2), xycoords=("data", "axes fraction"), **place)
    _scale(
        axes,
        figure.x,
        [x for curve in figure.curves for x in (*(x for x, _ in curve.points), *itertools.chain(*curve.spans))],
        "x",
    )
    _scale(axes, figure.y, [y for curve in figure.curves for _, y in curve.points], "y")
    axes.grid(visible=True, alpha=0.18, linewidth=0.7)


def _front(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points that no other is both left of and below, from left to right."""
    best: list[tuple[float, float]] = []
    for x, y in sorted(points):
        if not best or y < best[-1][1]:
            best.append((x, y))
    return best


def _scale(axes: "Axes", axis: Axis, values: Sequence[float], which: Literal["x", "y"]) -> None:
    """The label, the range and the numbers of an axis; whole numbers where all values are."""
    logarithmic = axis.logarithmic and bool(values) and max(values) > 10 * min(values) > 0
    axes.set(**{f"{which}label": _short(axis.label), f"{which}scale": "log" if logarithmic else "linear"})
    axes.set(**{f"{which}lim": (axis.least, axis.most)})
    shown, ticks = axes.xaxis if which == "x" else axes.yaxis, axis.ticks
    if axis.powers:
        low, high = axes.get_xlim() if which == "x" else axes.get_ylim()
        steps = itertools.chain((1, 3), (factor * 10**power for power in itertools.count() for factor in (5, 10, 25)))
        step = next(step for step in steps if (high - low) / step <= _TICKS)
        places = range(math.ceil(low / step) * step, math.floor(high) + 1, step)
        ticks = tuple((place, _LARGE.get(place, f"10{str(place).translate(_RAISED)}")) for place in places)
    if ticks:
        shown.set_ticks([place for place, _ in ticks], [_short(name) for _, name in ticks])
        shown.set_ticks([], minor=True)
    elif logarithmic:
        shown.set_major_formatter(lambda value, _: f"{value:g}")
        shown.set_minor_formatter(lambda *_: "")
    else:
        axes.locator_params(which, nbins=_TICKS, integer=all(float(value).is_integer() for value in values))


def _short(name: str) -> str:
    """A name that a picture has room for. One that begins with an underscore would be left out of a legend."""
    text = printable(name)
    text = text if len(text) <= _NAME else f"{text[: _NAME - 1]}…"
    return f" {text}" if text.startswith("_") else text


def _embedded(picture: str, figure: Figure) -> str:
    """The SVG element of a picture, with its title, and without what a file needs and a page does not."""
    inside = picture[picture.index(_BODY) :]
    inside = re.sub(r'<g id="[^"]*">', "<g>", inside).replace(_INK, "currentColor").replace(_FONT, "inherit")
    inside = re.sub(r' transform="rotate\(-0 [^"]*"', "", inside)
    inside = _PLACE.sub(lambda found: " ".join(_DIGITS.sub(r"\1", found[0]).split()), inside)
    inside = re.sub(r">\s*\n\s*<", "><", inside)
    frame = re.search(r'viewBox="[^"]*"', picture)
    about = "".join(
        f"<{tag}>{html.escape(printable(text))}</{tag}>" for tag, text in (("title", figure.title), ("desc", figure.about))
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" {frame and frame[0]} role="img" '
        f'style="width:100%;max-width:34rem;stroke-linejoin:round">{about}\n{inside}'
    )
