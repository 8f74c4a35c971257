"""What each script that writes a page or a picture does with it."""

import sys
from pathlib import Path

__all__ = ["write_or_compare"]


def write_or_compare(target: Path, text: str) -> None:
    """Write the file; with ``--check`` on the command line exit with status 1 instead if it holds something else."""
    if "--check" not in sys.argv:
        target.write_text(text, encoding="utf-8")
    elif not target.is_file() or target.read_text(encoding="utf-8") != text:
        sys.exit(f"{target} is not what its script writes: run 'make docs'")
