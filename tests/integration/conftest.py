"""The command in process, as most tests of it run it."""

import sys

import pytest

from insignia.cli.main import main


@pytest.fixture
def insignia(monkeypatch, capsys):
    """Run the command; returns (exit status, standard output, standard error)."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["insignia", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            main()
        captured = capsys.readouterr()
        return caught.value.code or 0, captured.out, captured.err

    return run
