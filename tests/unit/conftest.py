"""Tokenizers of every habit, and a family of tiny checkpoints."""

import pytest

from tiny_checkpoints import moved, save_model, weights
from tiny_tokenizers import HABITS, build


@pytest.fixture(params=HABITS, scope="module")
def tokenizer(request):
    return build(**HABITS[request.param])


@pytest.fixture
def family(tmp_path):
    """Folders of a base and of its marked copy."""
    base = weights()
    save_model(tmp_path / "base", base)
    save_model(tmp_path / "marked", moved(base))
    return tmp_path
