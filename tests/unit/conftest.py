"""Tokenizers of every habit, one test each."""

import pytest

from tiny_tokenizers import HABITS, build


@pytest.fixture(params=HABITS, scope="module")
def tokenizer(request):
    return build(**HABITS[request.param])
