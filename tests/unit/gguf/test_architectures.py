import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import GPTNeoXConfig, LlamaConfig

from insignia.gguf.architectures import ARCHITECTURES, rope_factors


@given(heads=st.integers(1, 4), pairs=st.integers(1, 5), biases=st.booleans())
def test_what_is_rotated_together_becomes_neighbours(heads, pairs, biases):
    rows = numpy.arange(heads * 2 * pairs)
    config = LlamaConfig(hidden_size=heads * 2 * pairs, num_attention_heads=heads, num_key_value_heads=heads)
    arrange = ARCHITECTURES["llama"].arrange(f"model.layers.0.self_attn.q_proj.{'bias' if biases else 'weight'}", config)
    arranged = arrange(rows if biases else rows[:, None]).ravel().reshape(heads, pairs, 2)

    assert sorted(arranged.ravel()) == list(rows)
    assert (arranged[:, :, 1] - arranged[:, :, 0] == pairs).all(), "halves of a head lie so far apart"
    assert (arranged[:, :, 0] // (2 * pairs) == numpy.arange(heads)[:, None]).all(), "a row stays in its head"


def test_queries_keys_and_values_of_all_heads_follow_one_another():
    arrange = ARCHITECTURES["gpt_neox"].arrange(
        "gpt_neox.layers.0.attention.query_key_value.weight", GPTNeoXConfig(num_attention_heads=2)
    )
    names = numpy.array(["q0 q0 k0 k0 v0 v0 q1 q1 k1 k1 v1 v1".split()]).T

    assert " ".join(arrange(names).ravel()) == "q0 q0 q1 q1 k0 k0 k1 k1 v0 v0 v1 v1"


def test_values_stay_where_they_are():
    assert ARCHITECTURES["llama"].arrange("model.layers.0.self_attn.v_proj.weight", LlamaConfig()) is None


def test_only_low_frequencies_are_divided():
    """Llama 3.1's: as they are above a wavelength, divided by the factor below another, in between in between."""
    rope = {"rope_type": "llama3", "rope_theta": 5e5, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
    config = LlamaConfig(head_dim=128, rope_parameters={**rope, "original_max_position_embeddings": 8192})
    factors = rope_factors(config)

    assert factors.shape == (64,)
    assert factors[0] == pytest.approx(1.0)
    assert factors[-1] == pytest.approx(8.0)
    assert (numpy.diff(factors) >= -1e-6).all()
    assert rope_factors(LlamaConfig()) is None
