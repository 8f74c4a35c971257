"""Tokenizers of every habit, and small random models of three architectures, one test each."""

import pytest

from tiny_tokenizers import HABITS, build


@pytest.fixture(params=HABITS, scope="module")
def tokenizer(request):
    return build(**HABITS[request.param])


@pytest.fixture(params=["gpt2", "neox", "llama tied", "llama untied"], scope="module")
def random_local(request):
    from insignia.modeling.local import LocalModel
    from tiny_models import random_model

    habit = (
        {"style": "byte", "bos": False, "pad_is_eos": True}
        if request.param in ("gpt2", "neox")
        else {"style": "byte", "bos": True}
    )
    return LocalModel.of(random_model(request.param).eval(), build(**habit), name=request.param)
