"""Record a real run of ``insignia demo`` as docs/demo.svg, a picture that plays without a script. Takes some minutes."""

import subprocess
import sys
import textwrap
import time
from collections.abc import Iterable
from html import escape
from pathlib import Path

_OUT = Path(__file__).parent / "demo.svg"
_LONGEST_PAUSE, _SHORTEST_PAUSE = 1.5, 0.15  # seconds between two lines when it is played
_LETTER, _LINE, _MARGIN = 7.25, 18, 16  # pixels
_WIDTH = 100  # letters; longer lines are folded
_STYLE = """
text { font: 12px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; fill: #d7dde3; white-space: pre; }
.time { fill: #7d8a97; } .typed { fill: #8ed081; }
.line { animation: shown 0.01s linear both; }
@keyframes shown { from { opacity: 0; } to { opacity: 1; } }
@media (prefers-reduced-motion: reduce) { .line { animation: none; } }
"""


def record(command: list[str]) -> list[tuple[float, str]]:
    """What the command prints, line by line, with the seconds since its start."""
    start = time.monotonic()
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with subprocess.Popen(command, **pipes, encoding="utf-8") as process:  # noqa: S603  our own command
        lines = [(time.monotonic() - start, line.rstrip()) for line in process.stdout or ()]
    if process.returncode:
        sys.exit(f"{' '.join(command)} ended with exit status {process.returncode}")
    return lines


def played(lines: Iterable[tuple[float, str]]) -> str:
    """The lines as an SVG in which each appears after the one before, with long waits cut short."""
    told = [(0.0, "$ insignia demo"), *lines]
    shown = [(seconds, part) for seconds, line in told for part in textwrap.wrap(line, _WIDTH) or [""]]
    width = _WIDTH + 6  # with the clock
    rows, at = [], 0.0
    for number, (seconds, line) in enumerate(shown):
        before = shown[max(0, number - 1)][0]
        at += min(max(seconds - before, _SHORTEST_PAUSE), _LONGEST_PAUSE)
        y = _MARGIN + _LINE * (number + 1)
        clock = f'<text class="time" x="{_MARGIN}" y="{y}">{int(seconds) // 60}:{int(seconds) % 60:02}</text>'
        kind = "typed" if number == 0 else "told"
        text = f'<text class="{kind}" x="{_MARGIN + 6 * _LETTER:.0f}" y="{y}">{escape(line)}</text>'
        rows.append(f'<g class="line" style="animation-delay:{at:.2f}s">{clock}{text}</g>')
    size = f"{2 * _MARGIN + width * _LETTER:.0f} {2 * _MARGIN + _LINE * len(shown)}"
    title = "insignia demo: a mark is made, put into a model, copied to a sibling and proven; the clock is that of the run"
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}" role="img"><title>{title}</title><style>{_STYLE}</style>'
    )
    return "\n".join([head, '<rect width="100%" height="100%" rx="8" fill="#14181c"/>', *rows, "</svg>", ""])


def main() -> None:
    """Run the demo and write the picture."""
    lines = record([sys.executable, "-m", "insignia", "demo"])
    while lines and not lines[-1][1]:
        lines.pop()
    _OUT.write_text(played(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
