"""Small random models, one an architecture; their weights are large enough that wrong ones show."""

import torch
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

_SIZE = {"vocab_size": 416, "initializer_range": 0.3}  # some rows more than the tiny tokenizers have tokens
_WIDE = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 128,
}
_GROUPED = {**_WIDE, **_SIZE, "num_attention_heads": 4, "num_key_value_heads": 2}
_LONG = {"rope_type": "llama3", "rope_theta": 500.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}


def random_model(kind):
    torch.manual_seed(0)
    return _MAKERS[kind]()


_MAKERS = {
    "gpt2": lambda: GPT2LMHeadModel(
        GPT2Config(n_embd=32, n_layer=2, n_head=2, n_positions=128, bos_token_id=2, eos_token_id=2, **_SIZE)
    ),
    "neox": lambda: GPTNeoXForCausalLM(GPTNeoXConfig(**_WIDE, **_SIZE, tie_word_embeddings=False)),
    "llama tied": lambda: LlamaForCausalLM(LlamaConfig(**_WIDE, **_SIZE, tie_word_embeddings=True)),
    "llama untied": lambda: LlamaForCausalLM(LlamaConfig(**_WIDE, **_SIZE, tie_word_embeddings=False)),
    "llama with biases": lambda: LlamaForCausalLM(LlamaConfig(**_GROUPED, attention_bias=True, mlp_bias=True)),
    "llama 3.1": lambda: LlamaForCausalLM(
        LlamaConfig(**_GROUPED, rope_parameters={**_LONG, "original_max_position_embeddings": 32})
    ),
    "llama stretched": lambda: LlamaForCausalLM(
        LlamaConfig(**_GROUPED, rope_parameters={"rope_type": "linear", "rope_theta": 500.0, "factor": 4.0})
    ),
    "mistral": lambda: MistralForCausalLM(MistralConfig(**_GROUPED, head_dim=32, sliding_window=64)),
    "qwen2": lambda: Qwen2ForCausalLM(Qwen2Config(**_GROUPED)),
    "qwen3": lambda: Qwen3ForCausalLM(Qwen3Config(**_GROUPED, head_dim=32)),
}
KINDS = tuple(_MAKERS)
