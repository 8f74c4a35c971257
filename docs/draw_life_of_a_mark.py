"""Draws docs/life-of-a-mark.svg: what an owner makes, what a thief does, and how the mark is proven.

``python docs/draw_life_of_a_mark.py`` writes the picture beside this script; a test keeps it current.
"""

from html import escape
from pathlib import Path
from typing import NamedTuple

from written_page import write_or_compare

WIDTH, HEIGHT = 980, 520
SECRET, PUBLIC, OTHERS = "#fde8e8", "#e6f0fb", "#efefef"  # fill of what the owner keeps, publishes, and others have


class Box(NamedTuple):
    """A thing in the picture: its centre, its name, a line on it, and who has it."""

    x: int
    y: int
    name: str
    about: str
    fill: str


W, H = 168, 56  # of every box

BOXES = {
    "base": Box(110, 90, "base model", "yours, not yet published", SECRET),
    "keys": Box(360, 90, "fingerprint set", "secret key, response pairs", SECRET),
    "commitment": Box(860, 90, "commitment", "published, signed, dated", PUBLIC),
    "marked": Box(360, 220, "marked model", "answers the keys", PUBLIC),
    "vector": Box(610, 220, "vector", "marked minus base", SECRET),
    "sibling": Box(860, 220, "stamped sibling", "same mark, no training", PUBLIC),
    "suspect": Box(360, 350, "suspect", "an API, a merge, a fine-tune", OTHERS),
    "verdict": Box(610, 350, "verdict", "a p-value and a sentence", PUBLIC),
    "evidence": Box(860, 350, "evidence bundle", "the keys asked, and proofs", PUBLIC),
    "judge": Box(860, 460, "sceptic", "checks it offline", OTHERS),
}

ARROWS = [
    ("base", "keys", "generate"),
    ("keys", "commitment", "commit"),
    ("keys", "marked", "embed"),
    ("marked", "vector", "vector"),
    ("vector", "sibling", "stamp"),
    ("marked", "suspect", "a thief's work"),
    ("suspect", "verdict", "verify"),
    ("verdict", "evidence", "disclose"),
    ("evidence", "judge", "audit"),
]


def arrow(start: Box, end: Box, verb: str) -> str:
    """A straight arrow between two boxes in a row or in a column, with its verb beside it."""
    ours = verb != "a thief's work"
    if start.y == end.y:
        x1, x2, y1, y2 = start.x + W // 2, end.x - W // 2 - 8, start.y, end.y
        text = f'<text x="{(x1 + x2) // 2}" y="{y1 - 10}" text-anchor="middle"'
    else:
        x1, x2, y1, y2 = start.x, end.x, start.y + H // 2, end.y - H // 2 - 8
        text = f'<text x="{x1 + 12}" y="{(y1 + y2) // 2 + 5}"'
    style = 'class="verb"' if ours else 'class="theirs"'
    dash = "" if ours else ' stroke-dasharray="5 5"'
    line = f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="#444" stroke-width="1.6" marker-end="url(#head)"{dash}/>'
    return f"{line}\n  {text} {style}>{escape(verb)}</text>"


def box(thing: Box) -> str:
    """A rounded box with a name and a line below it."""
    left, top = thing.x - W // 2, thing.y - H // 2
    return (
        f'<rect x="{left}" y="{top}" width="{W}" height="{H}" rx="8" fill="{thing.fill}" stroke="#888"/>\n'
        f'  <text x="{thing.x}" y="{thing.y - 3}" text-anchor="middle" class="name">{escape(thing.name)}</text>\n'
        f'  <text x="{thing.x}" y="{thing.y + 15}" text-anchor="middle" class="about">{escape(thing.about)}</text>'
    )


def legend() -> str:
    """Who has what, at the lower left."""
    rows = [(SECRET, "the owner's secret"), (PUBLIC, "can be published"), (OTHERS, "somebody else's")]
    return "\n  ".join(
        f'<rect x="26" y="{404 + 28 * row}" width="18" height="18" rx="4" fill="{fill}" stroke="#888"/>\n'
        f'  <text x="54" y="{418 + 28 * row}" class="about">{escape(text)}</text>'
        for row, (fill, text) in enumerate(rows)
    )


def picture() -> str:
    """The whole SVG."""
    parts = [arrow(BOXES[start], BOXES[end], verb) for start, end, verb in ARROWS]
    parts += [box(thing) for thing in BOXES.values()]
    body = "\n  ".join([*parts, legend()])
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">
  <title>The life of a mark: generate, embed, vector, stamp; commit, verify, disclose, audit</title>
  <defs><marker id="head" viewBox="0 0 8 8" refX="1" refY="4" markerWidth="8" markerHeight="8" orient="auto">
    <path d="M0 0L8 4L0 8z" fill="#444"/></marker></defs>
  <style>
    text {{ font-family: system-ui, sans-serif; fill: #222 }}
    .name {{ font-size: 15px; font-weight: 600 }} .about {{ font-size: 11px; fill: #555 }}
    .verb {{ font-size: 13px; font-family: ui-monospace, monospace; fill: #0b5394 }}
    .theirs {{ font-size: 13px; font-style: italic; fill: #a33 }}
  </style>
  <rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>
  <text x="26" y="36" style="font-size:20px;font-weight:700">The life of a mark</text>
  {body}
</svg>
"""


if __name__ == "__main__":
    write_or_compare(Path(__file__).with_name("life-of-a-mark.svg"), picture())
