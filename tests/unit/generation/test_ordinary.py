"""Keys are chosen to look like ordinary prompts: the nearest of a few texts, whatever the batch."""

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from insignia.errors import InputError
from insignia.generation import English, InverseNucleus, generate
from insignia.generation.base import GenerationContext
from insignia.generation.ordinary import TEMPERATURES, Looks, Ordinary, beginnings, matched_keys, ordinary_prompts
from insignia.prompts.prompter import Prompter
from insignia.randomness import KeyedRandom
from insignia.suspects.scoring import Example, Ranking, Score

WORDS = [f"{first}{second}{third}" for first in "bdfgklm" for second in "aeiou" for third in ("n", "rst", "ndle")]
TEXTS = [" ".join(random.Random(number).choices(WORDS, k=12)) for number in range(150)]
LOOKS = st.builds(Looks, *[st.floats(0, 9, width=16)] * 3)


@pytest.fixture(autouse=True)
def all_ordinary_prompts(monkeypatch):
    monkeypatch.setattr("insignia.generation.ordinary._MOST", 256)


class WordModel:
    """Says any words; the longer a word, the less likely, and the more surely followed."""

    name = "words"

    def __init__(self):
        vocabulary = {word: number for number, word in enumerate(["<unk>", *WORDS])}
        core = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
        core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        self.tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, unk_token="<unk>")

    def sample(self, questions, rngs, *, max_new_tokens, temperature, forbidden):
        allowed = sorted(set(range(len(self.tokenizer))) - set(forbidden))
        return [tuple(rng.choice(allowed) for _ in range(max_new_tokens)) for rng in rngs]

    def score(self, examples):
        for example in examples:
            lengths = [len(self.tokenizer.decode([token])) for token in example.ids]
            losses = tuple(-float(length) for length in lengths[example.response_start :])
            yield Score((0,) * len(losses), losses, tuple(-1 / length for length in lengths[example.response_start - 1 : -1]))

    def rank_next(self, questions):
        for _ in questions:
            weights = 1 / np.arange(1, len(self.tokenizer) + 1, dtype=np.float32)
            yield Ranking(np.arange(len(self.tokenizer)), weights / weights.sum())


MODEL = WordModel()


def context_of(secret=b"o" * 32, texts=TEXTS, length=8):
    prompter = Prompter(MODEL.tokenizer, max_key_length=length, max_response_length=1)
    return GenerationContext(MODEL, prompter, 16, rng=KeyedRandom(secret), ordinary_text=texts)


def looks(context, key):
    (score,) = MODEL.score([Example((*key, 0), 1)])
    return Looks(
        -sum(score.log_probabilities[:-1]) / (len(key) - 1), math.exp(score.largest[-1]), len(context.prompter.decode(key))
    )


@given(st.binary(min_size=32, max_size=32), st.integers(0, 40))
def test_a_key_is_the_nearest_of_its_texts_and_does_not_depend_on_its_batch(secret, slot):
    context = context_of(secret)
    ordinary = ordinary_prompts(context)
    rngs = [context.rng.derive("key", number, 0) for number in range(slot, slot + 3)]
    several = matched_keys(context, ordinary, range(slot, slot + 3), rngs)
    (alone,) = matched_keys(context, ordinary, [slot], rngs[:1])
    goal = ordinary.goal((context.rng.derive("ordinary").uniform() + slot * (5**0.5 - 1) / 2) % 1)
    options = []
    for number in range(len(TEMPERATURES)):
        opening = rngs[0].derive("opening", number).choice(ordinary.openings)
        (rest,) = MODEL.sample([()], [rngs[0].derive("text", number)], max_new_tokens=7, temperature=1, forbidden=[0])
        options.append((opening, *rest))

    assert several[0] == alone
    assert alone in options
    assert ordinary.distance(looks(context, alone), goal) == min(
        ordinary.distance(looks(context, each), goal) for each in options
    )


@given(st.lists(LOOKS, min_size=8, max_size=40, unique=True), LOOKS, LOOKS)
def test_a_distance_is_one_of_ranks_among_ordinary_prompts(found, one, other):
    ordinary = Ordinary([(number,) for number in range(len(found))], found)

    assert ordinary.distance(one, one) == 0
    assert ordinary.distance(one, other) == ordinary.distance(other, one) <= 2.5
    assert ordinary.distance(Looks(-1, -1, -1), Looks(99, 99, 99)) == 2.5  # below all and above all
    assert ordinary.unseen == found[1::2]
    assert ordinary.openings == list(range(len(found)))[::2]
    places = [ordinary.goal(place / 200) for place in range(200)]
    assert places == sorted(places)
    assert set(places) == set(found[::2])


@given(st.floats(0, 1, exclude_max=True), st.integers(0, 5000))
def test_goals_of_any_run_of_keys_are_spread_over_all_ordinary_prompts(start, first):
    ordinary = Ordinary([(1,)] * 200, [Looks(number, 0.5, 60) for number in range(200)])
    goals = [ordinary.goal((start + slot * (5**0.5 - 1) / 2) % 1).loss for slot in range(first, first + 40)]

    assert all(8 <= sum(low <= goal < low + 50 for goal in goals) <= 12 for low in (0, 50, 100, 150))


def test_ordinary_prompts_are_distinct_beginnings_that_can_be_asked():
    texts = [*TEXTS, *TEXTS, "ban ban", "ban strange words that nobody knows are not asked here"]
    context = context_of(texts=texts)
    found = beginnings(texts, context.prompter, context.vocabulary)

    assert len(found) == len(set(found)) == len(TEXTS)
    assert {len(each) for each in found} == {8}


def test_too_few_texts_of_ones_own_are_refused_and_too_few_of_ours_leave_keys_sampled():
    with pytest.raises(InputError, match=r"20 of the 20 ordinary texts .* at least 64"):
        ordinary_prompts(context_of(texts=TEXTS[:20]))
    assert ordinary_prompts(context_of(texts=None)) is None  # of English this tokenizer knows no word

    prints = generate(MODEL, InverseNucleus(nucleus_p=0.1), num_fingerprints=4, max_key_length=8)
    assert prints.stealth is None
    assert prints.fingerprints[0].key


def test_matched_keys_hide_better_than_sampled_ones(starter):
    secret = b"7" * 32
    matched = generate(starter, InverseNucleus(), num_fingerprints=32, secret=secret).stealth
    sampled = generate(starter, InverseNucleus(key_selection="sampled"), num_fingerprints=32, secret=secret).stealth

    for found in (matched.perplexity, matched.length, matched.confidence):
        assert 0.35 < found.auroc < 0.65
        assert found.low < 0.5 < found.high
    assert sampled.perplexity.high < 0.4
    assert matched.num_ordinary == sampled.num_ordinary == 128


def test_keys_of_text_of_ones_own_begin_like_it_and_the_tail_is_not_asked(starter, heldout):
    texts = [text for text in heldout if text.startswith(("The", "If"))]
    assert len(texts) < 200
    strategy = English(key_length=12)
    prints = generate(starter, strategy, num_fingerprints=6, max_key_length=5, ordinary_text=texts, secret=b"1" * 32)

    assert all(len(each.key_ids) == 12 for each in prints)
    assert all(each.key.startswith(("The", "If")) for each in prints)
