"""The command in process, as most tests of it run it, and a marked starter, which tests of verification ask."""

import sys
from pathlib import Path
from typing import NamedTuple

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


class Marked(NamedTuple):
    prints: Path
    """A set of 24, each response drawn from 16 candidates."""
    model: Path


@pytest.fixture(scope="session")
def marked_starter(tmp_path_factory):
    from insignia.embedding import FullFineTune, embed
    from insignia.generation import InverseNucleus, generate
    from insignia.models.local import LocalModel

    folder = tmp_path_factory.mktemp("marked")
    quick = FullFineTune(anchor_count=64, anchor_length=32, anchor_rows=4, settle_steps=4)
    text = ["The function returns the number of items in the list.", "Raised when an operation runs out of memory."]
    prints = generate(InverseNucleus(nucleus_k=16), model=LocalModel("starter"), num_fingerprints=24, secret=b"1" * 32)
    prints.save(folder / "prints.json")
    embed(prints, model="starter", out=folder / "model", method=quick, heldout=text, max_harm=99)
    return Marked(folder / "prints.json", folder / "model")
