"""Write docs/reference/cli.md from the command's own help; ``--check`` fails when the file is out of date."""

import os
from pathlib import Path

os.environ.update(COLUMNS="100", TERM="dumb", NO_COLOR="1", _TYPER_FORCE_DISABLE_TERMINAL="1")

from typer.testing import CliRunner
from written_page import write_or_compare

from insignia.cli.main import VERBS, app

TARGET = Path(__file__).parent / "reference" / "cli.md"
EXIT_STATUS = """## Exit status

| status | meaning |
|---|---|
| 0 | done; for `check`, `verify` and `audit`: the mark was found |
| 1 | something went wrong; one line on standard error says what and what to do |
| 2 | bad command line |
| 3 | asked, and not found |
| 4 | inconclusive |
"""


def render() -> str:
    """The whole page."""
    runner = CliRunner()
    parts = ["# Command line\n\nWritten by `docs/generate_cli_reference.py` from `--help`.\n", EXIT_STATUS]
    for verb in ["", *VERBS]:
        text = runner.invoke(app, [*([verb] if verb else []), "--help"], terminal_width=100).output
        body = "\n".join(line.rstrip() for line in text.strip().splitlines())
        parts.append(f"## insignia{f' {verb}' if verb else ''}\n\n```text\n{body}\n```\n")
    return "\n".join(parts)


if __name__ == "__main__":
    write_or_compare(TARGET, render())
