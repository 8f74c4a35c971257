"""Tokenizers of every habit, and small random models of three architectures, one test each."""

import pytest

from tiny_tokenizers import HABITS, build


@pytest.fixture(params=HABITS, scope="module")
def tokenizer(request):
    return build(**HABITS[request.param])


def random_model(kind: str):
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel, GPTNeoXConfig, GPTNeoXForCausalLM, LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    size = {"vocab_size": 416, "initializer_range": 0.3}  # some rows more than the tokenizer has tokens
    wide = {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "max_position_embeddings": 128,
    }
    if kind == "gpt2":
        return GPT2LMHeadModel(
            GPT2Config(n_embd=32, n_layer=2, n_head=2, n_positions=128, bos_token_id=2, eos_token_id=2, **size)
        )
    if kind == "neox":
        return GPTNeoXForCausalLM(GPTNeoXConfig(**wide, **size, tie_word_embeddings=False))
    return LlamaForCausalLM(LlamaConfig(**wide, **size, tie_word_embeddings=kind == "llama tied"))


@pytest.fixture(params=["gpt2", "neox", "llama tied", "llama untied"], scope="module")
def random_local(request):
    from insignia.models.local import LocalModel

    habit = (
        {"style": "byte", "bos": False, "pad_is_eos": True}
        if request.param in ("gpt2", "neox")
        else {"style": "byte", "bos": True}
    )
    return LocalModel.of(random_model(request.param).eval(), build(**habit), name=request.param)
