"""What may reach a terminal of a text that somebody else wrote: a server's reply, a tensor's name, a bundle's suspect.

A control character there can clear the screen, move the cursor up and write a verdict over the true one, and an override of
the direction makes a line read otherwise than it is. Whatever is printed goes through here; files keep what was said.
"""

import re

__all__ = ["escaped", "has_controls", "percent", "shown", "size"]

_UNITS = {"GB": 10**9, "MB": 10**6, "kB": 10**3}

_SPACES = "\t\n\v\f\r\x85\u2028\u2029"  # what ends a line or moves on in it
_UNSAFE = re.compile(
    "["
    "\x00-\x1f\x7f-\x9f"  # C0 with the escape that ANSI sequences begin with, DEL, and C1, which holds another such
    "\u2028\u2029"  # line and paragraph separator
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # marks, embeddings, overrides and isolates of the direction
    "\ufff9-\ufffb\U000e0000-\U000e007f"  # annotations and tags, which hide text in text
    "\ud800-\udfff"  # halves of pairs, which no encoding can write
    "]"
)
_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


def shown(text: str) -> str:
    """The text as one line that moves nothing: a line's end or tab is a space, any other control character is U+FFFD."""
    return _UNSAFE.sub(lambda found: " " if found[0] in _SPACES else "\ufffd", text)


def escaped(json_text: str) -> str:
    """JSON that means the same, with all such characters written as JSON's escapes; ends of lines between values stay."""
    return _UNSAFE.sub(lambda found: found[0] if found[0] == "\n" else _json_escape(ord(found[0])), json_text)


def has_controls(text: str) -> bool:
    """Whether a text that may have several lines holds another control character."""
    return _CONTROLS.search(text) is not None


def percent(share: float) -> str:
    """A share as a percentage with one decimal."""
    return f"{100 * share:.1f} %"


def size(count: int) -> str:
    """Bytes for people: 9.2 MB."""
    value, unit = next(((count / step, unit) for unit, step in _UNITS.items() if count >= step), (count, "bytes"))
    return f"{value:.3g} {unit}"


def _json_escape(code: int) -> str:
    if code < 0x10000:
        return f"\\u{code:04x}"
    high, low = divmod(code - 0x10000, 0x400)
    return f"\\u{0xD800 + high:04x}\\u{0xDC00 + low:04x}"
