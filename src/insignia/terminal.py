"""What reaches the terminal: text of unknown origin made safe to print (a server's reply, a tensor's name), and no chatter.

Control characters in it could overwrite a printed verdict, and direction overrides could reorder a line. All printed text
is filtered here. Files keep the original.
"""

import logging
import math
import os
import re
import shlex
import subprocess
import warnings

__all__ = [
    "command_line",
    "counted",
    "escape_json",
    "has_control_characters",
    "once_in",
    "percent",
    "plural",
    "printable",
    "quiet_libraries",
    "size",
]

_UNITS = {"GB": 10**9, "MB": 10**6, "kB": 10**3}

_SPACES = "\t\n\v\f\r\x85\u2028\u2029"  # line ends and tabs
_UNSAFE = re.compile(
    "["
    "\x00-\x1f\x7f-\x9f"  # C0, DEL and C1; C0 and C1 have characters that start ANSI escape sequences
    "\u2028\u2029"  # line and paragraph separators
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # directional marks, embeddings, overrides and isolates
    "\ufff9-\ufffb\U000e0000-\U000e007f"  # annotations and tags, which hide text
    "\ud800-\udfff"  # unpaired surrogates, which cannot be encoded
    "]"
)
_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


def printable(text: str) -> str:
    """Return the text as one line: line ends and tabs become spaces, other control characters U+FFFD."""
    return _UNSAFE.sub(lambda found: " " if found[0] in _SPACES else "\ufffd", text)


def escape_json(json_text: str) -> str:
    """Return equivalent JSON with all control characters but line feeds escaped."""
    return _UNSAFE.sub(lambda found: found[0] if found[0] == "\n" else _json_escape(ord(found[0])), json_text)


def has_control_characters(text: str) -> bool:
    """Whether the text holds a control character other than tab and line feed."""
    return _CONTROLS.search(text) is not None


def command_line(*words: object) -> str:
    """A command as a shell takes it: a path with spaces is quoted."""
    quoted = subprocess.list2cmdline if os.name == "nt" else shlex.join
    return quoted([str(word) for word in words])


def once_in(p_value: float) -> str:
    """Return 1 / p_value in words, rounded down to two digits: ``1.9 million`` for 5.2e-07."""
    tests = (1 + 1e-12) / p_value  # as a float, 1 / 4e-9 is slightly below 250 million
    if tests >= 1e15:  # larger numbers have no common name
        return f"10^{math.floor(math.log10(tests))}"
    step = 10.0 ** max(0, math.floor(math.log10(tests)) - 1)
    rounded = math.floor(tests / step) * step
    for name, unit in (("trillion", 1e12), ("billion", 1e9), ("million", 1e6)):
        if rounded >= unit:
            return f"{rounded / unit:.2g} {name}" if rounded < 100 * unit else f"{rounded / unit:.0f} {name}"
    return f"{rounded:,.0f}"


def counted(number: int, noun: str) -> str:
    """The number with its noun: 1 row, 2 rows, 2 near misses."""
    return f"{number} {noun if number == 1 else plural(noun)}"


def plural(noun: str) -> str:
    """Several of what an English noun with a regular plural names."""
    return f"{noun}{'es' if noun.endswith('s') else 's'}"


def percent(share: float) -> str:
    """A share as a percentage with one decimal."""
    return f"{100 * share:.1f} %"


def size(count: int) -> str:
    """Bytes for people: 9.2 MB."""
    value, unit = next(((count / step, unit) for unit, step in _UNITS.items() if count >= step), (count, "bytes"))
    return f"{value:.3g} {unit}"


def quiet_libraries() -> None:
    """Keep the progress bars, advice and warnings of transformers and torch off the screen; their errors still show."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    logging.getLogger("torch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"(torch|transformers|accelerate|huggingface_hub)\b")


def _json_escape(code: int) -> str:
    if code < 0x10000:
        return f"\\u{code:04x}"
    high, low = divmod(code - 0x10000, 0x400)
    return f"\\u{0xD800 + high:04x}\\u{0xDC00 + low:04x}"
