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


@pytest.fixture(scope="session", autouse=True)
def few_own_texts():
    """Harm on a model's own text is measured on less of it; 64 texts of 64 tokens take as long as a short training."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("insignia.embedding.harm._OWN_COUNT", 16)
        patch.setattr("insignia.embedding.harm._OWN_LENGTH", 32)
        yield


class Marked(NamedTuple):
    prints: Path
    """A set of 24, each response drawn from 16 candidates."""
    model: Path


@pytest.fixture(scope="session")
def marked_starter(made_once):
    from insignia.embedding import FullFineTune, Limits, embed
    from insignia.generation import InverseNucleus, generate
    from insignia.modeling.local import LocalModel

    quick = FullFineTune(reference_count=64, reference_length=32, reference_rows=4, cooldown_steps=4)
    text = ["The function returns the number of items in the list.", "Raised when an operation runs out of memory."]

    def make(folder):
        # The starter replies to each of these keys, and never as the owner wants. An empty reply is no answer of an API alone.
        prints = generate(LocalModel("starter"), InverseNucleus(nucleus_k=16), num_fingerprints=24, secret=b"d" * 32)
        prints.save(folder / "prints.json")
        embed("starter", prints, quick, out=folder / "model", heldout=text, limits=Limits(max_harm=99))

    folder = made_once("marked-starter", make)
    return Marked(folder / "prints.json", folder / "model")
