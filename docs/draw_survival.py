"""Draws docs/explanation/survival.svg: how many keys prove a mark by each channel, after what a thief does to the weights.

``python docs/draw_survival.py`` writes the picture from docs/explanation/survival.json, which
``python benchmarks/graded.py survival --json FILE`` measured; a test keeps it current.
"""

import json
import math
from html import escape
from pathlib import Path

from written_page import write_or_compare

FOLDER = Path(__file__).parent / "explanation"
LEFT, TOP, STEP, HEIGHT, RIGHT = 130, 76, 62, 300, 150
KEYS = 64  # in the set
TICKS = (6, 10, 20, 40, 64)
CHANNELS = {  # name -> colour, what is seen, how far its points are moved aside
    "scores": ("#0f9d76", "scores", -9),
    "choice": ("#e0701a", "forced choice", -3),
    "top": ("#2f86d6", "20 likeliest tokens", 3),
    "text": ("#b061c9", "text", 9),
}


def height(keys: float | None) -> float:
    """Where so many keys are, on a logarithmic scale; None, no proof, lies above all."""
    if keys is None:
        return TOP
    low, high = math.log(5.5), math.log(80)
    return TOP + HEIGHT * (1 - 0.9 * (math.log(keys) - low) / (high - low))


def axis(attacks: list[str]) -> list[str]:
    """The lines of the scale, and the names of the attacks."""
    right = LEFT + STEP * (len(attacks) - 1) + 26
    parts = [
        f'<line x1="{LEFT - 26}" y1="{height(keys):.1f}" x2="{right}" y2="{height(keys):.1f}" class="grid"/>'
        f'<text x="{LEFT - 34}" y="{height(keys) + 4:.1f}" text-anchor="end">{"not proven" if keys is None else keys}</text>'
        for keys in (*TICKS, None)
    ]
    for place, attack in enumerate(attacks):
        words = attack.replace(" at ", " ").split()
        half = max(1, len(words) // 2)
        above, below = " ".join(words[:half]), " ".join(words[half:])
        x, y = LEFT + STEP * place, TOP + HEIGHT + 26
        parts.append(
            f'<text x="{x}" y="{y}" text-anchor="middle">{escape(above)}</text>'
            f'<text x="{x}" y="{y + 16}" text-anchor="middle">{escape(below)}</text>'
        )
    return parts


def curve(rows: list[dict], channel: str, label_at: float) -> str:
    """The medians of a channel: a line over the merges, and a point for each attack."""
    colour, name, aside = CHANNELS[channel]
    points = [(LEFT + STEP * place + aside, height(row[channel]["median"])) for place, row in enumerate(rows)]
    merges = [point for point, row in zip(points, rows, strict=True) if row["attack"] == "none" or "merged" in row["attack"]]
    line = " ".join(f"{x},{y:.1f}" for x, y in merges)
    dots = "".join(f'<circle cx="{x}" cy="{y:.1f}" r="4.5" fill="{colour}"/>' for x, y in points)
    x = LEFT + STEP * (len(rows) - 1) + 40
    label = f'<circle cx="{x}" cy="{label_at - 5}" r="4.5" fill="{colour}"/><text x="{x + 12}" y="{label_at}">{name}</text>'
    return f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.8"/>{dots}{label}'


def picture(rows: list[dict]) -> str:
    """The whole SVG. Its ink is a grey that shows on white, on black and on paper."""
    width, whole = LEFT + STEP * (len(rows) - 1) + 26 + RIGHT, TOP + HEIGHT + 60
    curves = [curve(rows, channel, 240 + 24 * place) for place, channel in enumerate(CHANNELS)]
    body = "\n  ".join([*axis([row["attack"] for row in rows]), *curves])
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {whole}" role="img">
  <title>Median number of keys until a mark is proven, by attack and channel</title>
  <style>
    text {{ font-family: system-ui, sans-serif; font-size: 13px; fill: #808890 }}
    .grid {{ stroke: #808890; stroke-width: 0.6; opacity: 0.5 }}
  </style>
  <text x="{LEFT - 34}" y="28" style="font-size:16px;font-weight:600">Keys until proof at one in a million</text>
  <text x="{LEFT - 34}" y="48">Median over three marks of {KEYS} keys and nine orders; logarithmic scale</text>
  {body}
</svg>
"""


if __name__ == "__main__":
    measured = json.loads((FOLDER / "survival.json").read_text(encoding="utf-8"))
    write_or_compare(FOLDER / "survival.svg", picture(measured["rows"]))
