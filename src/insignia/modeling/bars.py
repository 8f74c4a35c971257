"""Keeps the progress bars of transformers away: insignia shows its own."""

import contextlib
from collections.abc import Iterator

from transformers.utils import logging

__all__ = ["without_bars"]


@contextlib.contextmanager
def without_bars() -> Iterator[None]:
    """Hide bars for a block; also a decorator."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
