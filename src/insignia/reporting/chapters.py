"""A result as a chapter of a report."""

from typing import Any, NamedTuple

from insignia.reporting.base import Block, Callout

__all__ = ["Chapter"]


class Chapter(NamedTuple):
    """One result, told twice. Its headings are of level 3."""

    title: str
    answer: Callout
    short: tuple[Block, ...]
    """Questions that a stranger asks, and the answers."""
    full: tuple[Block, ...]
    """Every number, for an expert."""
    data: Any
    """The result as plain data."""
