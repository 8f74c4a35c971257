import copy
import json
import random
import shutil

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from insignia.errors import InputError, ModelError
from insignia.modeling.batches import length_batches, response_logits
from insignia.modeling.local import LocalModel
from insignia.randomness import KeyedRandom
from insignia.suspects.scoring import Example


def rows(count, vocabulary, seed=0, longest=20):
    rng = random.Random(seed)
    return [tuple(rng.randrange(4, vocabulary) for _ in range(rng.randint(2, longest))) for _ in range(count)]


def greedy(local, question, length):
    with torch.inference_mode():
        output = local.model.generate(
            torch.tensor([question]), max_new_tokens=length, min_new_tokens=length, do_sample=False, pad_token_id=0
        )
    return tuple(output[0].tolist())


def test_a_hit_is_what_greedy_generation_one_at_a_time_says(random_local):
    examples = []
    for number, question in enumerate(rows(24, 400)):
        ids = greedy(random_local, question, 3)
        if number % 3 == 1:
            ids = (*ids[:-1], (ids[-1] + 1) % 400)
        if number % 3 == 2:
            ids = (*ids[: len(question)], (ids[len(question)] + 1) % 400, *ids[len(question) + 1 :])
        examples.append(Example(ids, len(question)))

    hits = [score.hit for score in random_local.score(examples)]
    assert hits == [greedy(random_local, e.ids[: e.response_start], 3) == e.ids for e in examples]
    assert hits.count(True) == 8


def test_ranks_and_log_probabilities_are_those_of_a_full_forward_pass_alone(random_local):
    examples = [Example(row, max(1, len(row) - 2)) for row in rows(12, 400, seed=3)]
    for example, score in zip(examples, random_local.score(examples), strict=True):
        with torch.inference_mode():
            logits = random_local.model(torch.tensor([example.ids])).logits[0].float().log_softmax(-1)
        for offset, token in enumerate(example.ids[example.response_start :]):
            line = logits[example.response_start - 1 + offset]
            assert score.ranks[offset] == int((line > line[token]).sum())
            assert score.log_probabilities[offset] == pytest.approx(float(line[token]), abs=1e-4)


def test_logits_come_in_the_order_of_the_examples(random_local):
    examples = [Example((5, 6, 7, 8), 2), Example((9, 10), 1)]
    logits, targets = response_logits(random_local.model, examples)

    assert targets.tolist() == [7, 8, 10]
    assert logits.shape == (3, 416)


def test_a_ranking_is_sorted_complete_and_fp32(random_local):
    for question, ranking in zip(questions := rows(5, 400), random_local.rank_next(questions), strict=True):
        assert sorted(ranking.token_ids.tolist()) == list(range(416))
        assert (ranking.probabilities[:-1] >= ranking.probabilities[1:]).all()
        assert float(ranking.probabilities.sum()) == pytest.approx(1, abs=1e-4)
        assert int(ranking.token_ids[0]) == greedy(random_local, question, 1)[-1]


def sample(local, questions, temperature, numbers=None):
    rngs = [KeyedRandom(b"s").derive(number) for number in numbers or range(len(questions))]
    return local.sample(questions, rngs, max_new_tokens=6, temperature=temperature, forbidden=[2])


def test_a_sample_does_not_depend_on_its_batch(random_local):
    questions = rows(6, 400, seed=5)
    together = sample(random_local, questions, 1.0)
    alone = [sample(random_local, [question], 1.0, [number])[0] for number, question in enumerate(questions)]

    assert together == alone
    assert all(len(reply) == 6 and 2 not in reply for reply in together)


def test_temperature_zero_is_greedy(starter):
    questions = [tuple(starter.tokenizer.encode("The function returns"))]

    assert sample(starter, questions, 0)[0] == greedy(starter, questions[0], 6)[len(questions[0]) :]


def test_sampling_follows_the_distribution(starter):
    question = tuple(starter.tokenizer.encode("The function returns"))
    (ranking,) = starter.rank_next([question])
    rngs = [KeyedRandom(b"t").derive(number) for number in range(600)]
    first = starter.sample([question] * 600, rngs, max_new_tokens=1, temperature=1.0, forbidden=[])
    share = sum(reply[0] == ranking.token_ids[0] for reply in first) / 600

    assert abs(share - ranking.probabilities[0]) < 4 * (ranking.probabilities[0] / 600) ** 0.5


def test_the_checkpoints_own_generation_settings_are_put_aside_and_back(starter):
    kept = starter.model.generation_config
    question = tuple(starter.tokenizer.encode("The function returns"))
    plain = sample(starter, [question], 0)
    try:
        starter.model.generation_config = kept.__class__(
            do_sample=True, temperature=3.0, repetition_penalty=9.0, eos_token_id=5
        )
        assert sample(starter, [question], 0) == plain
    finally:
        starter.model.generation_config = kept


def test_mean_loss_is_that_of_the_model_on_its_own(starter):
    texts = ["The function returns the number of items.", "Raised when memory is exhausted, which should not happen."]
    total = count = 0.0
    for text in texts:
        ids = torch.tensor([starter.tokenizer.encode(text)])
        with torch.inference_mode():
            total += float(starter.model(ids, labels=ids).loss) * (ids.shape[1] - 1)
        count += ids.shape[1] - 1

    assert starter.mean_loss(texts) == pytest.approx(total / count, rel=1e-4)


def test_what_does_not_fit_the_context_is_refused_with_its_row(starter):
    with pytest.raises(InputError, match="row 1 has 600 tokens; the context of starter is 512"):
        starter.score([Example((5, 6), 1), Example((5,) * 600, 1)])


@given(st.lists(st.integers(1, 50), max_size=40), st.integers(1, 8), st.integers(1, 200))
def test_batches_hold_every_row_once_within_their_limits(lengths, max_rows, max_tokens):
    batches = list(length_batches(lengths, max_rows=max_rows, max_tokens=max_tokens))

    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) <= max_rows
        assert len(batch) == 1 or len(batch) * max(lengths[index] for index in batch) <= max_tokens


@pytest.fixture
def folder(starter, tmp_path):
    return shutil.copytree(starter.source, tmp_path / "model")


def cut(path, size):
    path.write_bytes(path.read_bytes()[:size])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "config.json").unlink(), "no config.json"),
        (lambda folder: (folder / "config.json").write_text("{"), "not a JSON object"),
        (lambda folder: cut(folder / "model.safetensors", 100_000), "damaged or truncated"),
        (lambda folder: cut(folder / "model.safetensors", 5), "damaged or truncated"),
        (lambda folder: (folder / "model.safetensors").rename(folder / "pytorch_model.bin"), "no safetensors"),
        (
            lambda folder: (folder / "model.safetensors.index.json").write_text(
                json.dumps({"weight_map": {"a": "model.safetensors", "b": "model-00002-of-00002.safetensors"}})
            ),
            "lacks the shard model-00002",
        ),
    ],
)  # fmt: skip
def test_a_damaged_model_folder_is_named_with_what_is_wrong(folder, damage, message):
    damage(folder)

    with pytest.raises(ModelError, match=message):
        LocalModel(folder)


@pytest.mark.parametrize("source", ["no/such/folder", "./none", "none"])
def test_a_missing_model_is_an_input_error(source):
    with pytest.raises(InputError, match="there is no model folder"):
        LocalModel(source)


def test_a_foreign_tokenizer_with_more_tokens_than_the_model_is_refused(folder, starter):
    starter_tokens = json.loads((folder / "tokenizer.json").read_text())
    starter_tokens["model"]["vocab"]["zzzzzz"] = 5000
    starter_tokens["model"]["vocab"] |= {f"extra{number}": 5001 + number for number in range(10)}
    (folder / "tokenizer.json").write_text(json.dumps(starter_tokens))

    with pytest.raises(ModelError, match="expected its own tokenizer"):
        LocalModel(folder)


def copy_of(local, change):
    model = copy.deepcopy(local.model)
    with torch.no_grad():
        change(model)
    return LocalModel.of(model, local.tokenizer, name="changed")


def test_among_equals_the_lowest_id_ranks_first_as_greedy_decoding_takes_it(starter):
    indifferent = copy_of(starter, lambda model: model.model.norm.weight.zero_())
    scores = indifferent.score([Example((5, 6, token), 2) for token in (0, 1, 77)])

    assert [score.ranks for score in scores] == [(0,), (1,), (77,)]
    assert greedy(indifferent, (5, 6), 1) == (5, 6, 0)
    (ranking,) = indifferent.rank_next([(5, 6)])
    assert ranking.token_ids.tolist() == list(range(4096))


def test_a_model_that_computes_nan_is_an_error_and_no_hit(starter):
    """NaN is neither above nor below: counted naively, every rank would be 0 and every fingerprint a hit."""
    broken = copy_of(starter, lambda model: model.model.norm.weight.fill_(float("nan")))

    with pytest.raises(ModelError, match="NaN"):
        broken.score([Example((5, 6, 7), 2)])
    with pytest.raises(ModelError, match="NaN"):
        next(broken.rank_next([(5, 6)]))
    for temperature in (0, 1.0):
        with pytest.raises(ModelError, match="NaN"):
            sample(broken, [(5, 6)], temperature)


def test_one_row_of_nan_spoils_its_batch_loudly(starter):
    def spoil(model):
        model.model.embed_tokens.weight = torch.nn.Parameter(model.model.embed_tokens.weight.clone())
        model.model.embed_tokens.weight[99] = float("nan")

    with pytest.raises(ModelError, match="NaN"):
        copy_of(starter, spoil).score([Example((5, 6, 7), 2), Example((5, 99, 7), 2)])


def test_the_rank_is_the_place_in_the_sorted_distribution(random_local):
    questions = rows(8, 400, seed=11)
    for question, ranking in zip(questions, random_local.rank_next(questions), strict=True):
        places = [0, 1, 5, 200, 415]
        examples = [Example((*question, int(ranking.token_ids[place])), len(question)) for place in places]
        assert [score.ranks[0] for score in random_local.score(examples)] == places


def test_nothing_asked_is_nothing_answered(starter):
    assert starter.score([]) == []
    assert list(starter.rank_next([])) == []
    assert starter.sample([], [], max_new_tokens=3, temperature=1, forbidden=[]) == []
    assert starter.sample([(5,)], [KeyedRandom(b"s")], max_new_tokens=0, temperature=1, forbidden=[]) == [()]


def test_the_whole_context_may_be_used_and_no_more(random_local):
    length = random_local.context_length
    assert length == 128
    (score,) = random_local.score([Example((5,) * length, length - 1)])
    assert len(score.ranks) == 1
    with pytest.raises(InputError, match="row 0 has 129 tokens"):
        random_local.score([Example((5,) * (length + 1), length)])
    with pytest.raises(InputError, match="context"):
        next(random_local.rank_next([(5,) * length]))
    with pytest.raises(InputError, match="context"):
        sample(random_local, [(5,) * length], 0)


def test_many_rows_are_scored_as_each_alone(random_local):
    examples = [Example(row, len(row) - 1) for row in rows(300, 400, seed=13, longest=40)]
    together = random_local.score(examples)

    assert len(together) == 300
    for number in range(0, 300, 37):
        assert together[number].ranks == random_local.score([examples[number]])[0].ranks


def test_temperature_zero_is_greedy_for_every_architecture_and_length(random_local):
    questions = rows(6, 400, seed=17)
    alone = [greedy(random_local, question, 5)[len(question) :] for question in questions]
    together = random_local.sample(questions, [KeyedRandom(b"s")] * 6, max_new_tokens=5, temperature=0, forbidden=[])

    assert together == alone


def test_the_mean_loss_needs_text(starter):
    with pytest.raises(InputError, match="no held-out text"):
        starter.mean_loss([])
    with pytest.raises(InputError, match="no held-out text"):
        starter.mean_loss([""])


def test_the_mean_loss_cuts_texts_at_the_context(random_local):
    assert random_local.mean_loss(["a b " * 500]) > 0
