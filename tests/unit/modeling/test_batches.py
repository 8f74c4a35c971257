import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from insignia.modeling.batches import in_pieces, length_batches, logits_at, pad_rows, response_logits
from insignia.suspects.scoring import Example


@given(st.lists(st.integers(1, 60), min_size=1, max_size=50), st.integers(1, 9))
def test_batches_come_longest_first_and_are_full(lengths, max_rows):
    batches = list(length_batches(lengths, max_rows=max_rows))

    order = [index for batch in batches for index in batch]
    assert [lengths[index] for index in order] == sorted(lengths, reverse=True)
    assert all(len(batch) == max_rows for batch in batches[:-1])


def test_a_row_beyond_the_limit_goes_alone():
    assert list(length_batches([3, 50, 3], max_rows=8, max_tokens=10)) == [[1], [0, 2]]


def test_no_rows_make_no_batches():
    assert list(length_batches([], max_rows=8, max_tokens=10)) == []


@pytest.mark.parametrize("left", [False, True])
def test_the_mask_covers_the_rows_and_nothing_else(left):
    rows = [(7,), (4, 5, 6), (8, 9)]
    ids, mask = pad_rows(rows, torch.device("cpu"), left=left)

    assert ids.shape == mask.shape == (3, 3)
    assert [tuple(line[keep.bool()].tolist()) for line, keep in zip(ids, mask, strict=True)] == rows
    assert mask[:, -1 if left else 0].tolist() == [1, 1, 1]


def test_logits_of_mixed_lengths_are_those_of_full_passes_alone(random_local):
    examples = [
        Example((5, 6, 7, 8, 9, 10, 11), 4),
        Example((12, 13), 1),
        Example(tuple(range(20, 60)), 39),
        Example((14, 15, 16, 17, 18), 1),
    ]
    with torch.inference_mode():
        logits, targets = response_logits(random_local.model, examples)
        alone = [
            random_local.model(torch.tensor([example.ids])).logits[0, example.response_start - 1 : -1] for example in examples
        ]

    assert logits.dtype == torch.float32
    assert targets.tolist() == [token for example in examples for token in example.ids[example.response_start :]]
    torch.testing.assert_close(logits, torch.cat(alone), atol=1e-4, rtol=1e-4)


def test_pads_are_never_attended_whatever_their_id(random_local):
    """Token 0 pads: a row of zeros beside a long row must read as it does alone."""
    short, long = Example((0, 0, 0), 2), Example(tuple(range(10, 50)), 39)
    with torch.inference_mode():
        alone, _ = response_logits(random_local.model, [short])
        beside, _ = response_logits(random_local.model, [short, long])

    torch.testing.assert_close(alone[0], beside[0], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("most_logits", [1, 3 * 416, 10**9])
def test_what_is_read_in_pieces_has_the_gradient_of_the_whole(most_logits, random_local):
    rows, places = [(5, 6, 7, 8), (9, 10)], [(0, 0), (0, 3), (1, 1), (1, 0)]

    def read(logits, part):
        return logits.logsumexp(1) * torch.arange(1.0, 5.0)[part]

    def gradient(values):
        weights = [weight for weight in random_local.model.parameters() if weight.requires_grad]
        return torch.cat([part.flatten() for part in torch.autograd.grad(values.sum(), weights)])

    whole = read(logits_at(random_local.model, rows, places), slice(None))
    pieces = in_pieces(random_local.model, rows, places, read, most_logits=most_logits)
    torch.testing.assert_close(pieces, whole)
    torch.testing.assert_close(gradient(pieces), gradient(whole), atol=1e-4, rtol=1e-4)


def test_a_model_that_caps_its_logits_is_read_whole():
    from transformers import Gemma2Config, Gemma2ForCausalLM

    torch.manual_seed(0)
    size = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 8}
    config = Gemma2Config(**size, intermediate_size=16, vocab_size=40, final_logit_softcapping=0.5, initializer_range=0.5)
    model = Gemma2ForCausalLM(config).eval()
    with torch.no_grad():
        read = in_pieces(model, [(1, 2, 3)], [(0, 0), (0, 1), (0, 2)], lambda logits, part: logits.amax(1), most_logits=40)
        assert torch.allclose(read, model(torch.tensor([[1, 2, 3]])).logits[0].amax(1), atol=1e-5)
    assert float(read.max()) < 0.5 + 1e-6
