from types import SimpleNamespace

import pytest

from insignia.attacks.finetune import FineTune
from insignia.attacks.finetuning import conversation_rows, finetune, text_rows
from insignia.attacks.tuning import CROSS_ENTROPY, Tuning
from insignia.errors import InputError, OutputError
from insignia.records import Turn
from insignia.suspects.scoring import Example

ROWS = [Example(tuple(range(3, 3 + length)), 1) for length in (4, 9, 5, 6, 7, 8, 3)]


def test_texts_are_cut_into_rows_that_lose_no_token(starter):
    text = "Return the number of items in the list, or raise an error when it is empty. " * 6
    ids = starter.tokenizer(text)["input_ids"]
    rows = text_rows([text, ""], starter, 20)

    assert [token for row in rows for token in row.ids[1:]] == ids[1:]
    assert {(row.ids[0], row.response_start) for row in rows} == {(ids[0], 1)}
    assert max(len(row.ids) for row in rows) == 20


def test_long_replies_are_cut_and_what_begins_too_late_is_left_out_and_counted(starter):
    said = []
    short = (Turn("user", "Why?"), Turn("assistant", "Because it is so."))
    long = (*short, Turn("user", "Go on. " * 20), Turn("assistant", "No."))
    whole, _ = conversation_rows([long], starter, 512)
    rows = conversation_rows([short, long], starter, len(whole.ids) - 2, SimpleNamespace(note=said.append))

    assert rows == [Example(whole.ids[:-2], whole.response_start)] * 2
    assert said == [f"1 of 3 replies skipped: they start after {len(whole.ids) - 2} tokens"]
    assert whole.ids[-1] == starter.tokenizer.eos_token_id


def test_conversations_that_the_template_refuses_are_counted(starter, monkeypatch):
    monkeypatch.setattr(starter.tokenizer, "chat_template", "{{ raise_exception('no') }}")
    said = []

    assert (
        conversation_rows([(Turn("user", "Why?"), Turn("assistant", "So."))], starter, 99, SimpleNamespace(note=said.append))
        == []
    )
    assert said == ["1 of 1 conversations skipped: the chat template rejects them"]


@pytest.mark.parametrize("most_rows", [1, 2, 100])
def test_every_token_of_a_step_weighs_the_same_however_it_is_split(most_rows):
    tuning = Tuning(ROWS, FineTune(batch_size=4, max_steps=1), CROSS_ENTROPY, most_rows=most_rows, seed=0)
    stream = tuning.batches()
    for size in (4, 3):
        parts = [next(stream) for _ in range(tuning.parts)]
        rows = [row for part, weight in parts if weight for row in part]
        tokens = sum(len(row.ids) - 1 for row in rows)

        assert len(rows) == size
        assert all(weight == tuning.parts / tokens for _, weight in parts if weight)


def test_an_epoch_has_every_row_once():
    tuning = Tuning(ROWS, FineTune(batch_size=2, epochs=3), CROSS_ENTROPY, most_rows=100, seed=0)
    stream = tuning.batches()
    epochs = [[row for _ in range(4) for row in next(stream)[0]] for _ in range(3)]

    assert tuning.steps == 12
    assert all(sorted(epoch) == sorted(ROWS) for epoch in epochs)
    assert epochs[0] != epochs[1]


def test_the_rate_falls_along_a_cosine():
    tuning = Tuning(ROWS, FineTune(max_steps=10), CROSS_ENTROPY, most_rows=100, seed=0)

    assert [tuning.rate(step) for step in (0, 5, 10)] == pytest.approx([1.0, 0.5, 0.0])


def test_no_data_and_a_taken_output_are_refused(tmp_path):
    with pytest.raises(InputError, match="no training rows"):
        finetune("starter", ["", ""], out=tmp_path / "out", device="cpu")
    with pytest.raises(OutputError, match="exists"):
        finetune("starter", ["x"], out=tmp_path, device="cpu")
