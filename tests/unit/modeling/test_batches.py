import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from insignia.modeling.batches import length_batches, pad_rows, response_logits
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
