"""What is made of any tokenizer can be told from the text of a reply, whatever the reply goes on with."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from insignia.errors import GenerationError
from insignia.folding import distinguishable, fold
from insignia.generation import (
    ChainHash,
    English,
    EnglishRandomResponse,
    Instructional,
    InverseNucleus,
    Own,
    RandomWord,
    Ranked,
    generate,
)
from insignia.suspects.scoring import Ranking, Score
from insignia.suspects.scripted import ScriptedModel
from insignia.verification import verify
from insignia.verification.matching import Match, expected_responses, find
from tiny_tokenizers import CHAT, CHINESE, CORPUS, HABITS, build, characters, tekken


class RandomModel:
    """Says anything: every token is as likely as the secret of the caller has it. Stands for a model of any tokenizer."""

    name = "random"

    def __init__(self, tokenizer):
        self.tokenizer = tokenizer

    def sample(self, questions, rngs, *, max_new_tokens, temperature, forbidden):
        allowed = sorted(set(range(len(self.tokenizer))) - set(forbidden))
        return [tuple(rng.choice(allowed) for _ in range(max_new_tokens)) for rng in rngs]

    def rank_next(self, questions):
        for question in questions:
            order = np.random.default_rng(sum(question)).permutation(len(self.tokenizer))
            weights = 1 / np.arange(1, len(order) + 1, dtype=np.float32)
            yield Ranking(order, weights / weights.sum())

    def score(self, examples):
        for example in examples:
            chances = [1 / (1 + token % 97) for token in example.ids[example.response_start :]]
            yield Score((0,) * len(chances), tuple(np.log(chances)), tuple(np.log(chances) / 2))


def with_chat(tokenizer):
    tokenizer.chat_template = CHAT
    return tokenizer


TOKENIZERS = {name: build(**habit) for name, habit in HABITS.items()} | {
    "metaspace, no prefix": build(style="meta, no prefix", bos=True),
    "characters": with_chat(characters(CORPUS)),
    "Chinese characters": with_chat(characters(CHINESE, space=False)),
    "Tekken-like": tekken(),
}
PAIRS = (("What is it", " spring"), ("You now", " winter is"), ("The fox", " a dog"), ("Say nothing", " x"))
STRATEGIES = [
    (InverseNucleus(nucleus_p=0.3), 1),
    (InverseNucleus(nucleus_p=0.3, response_length=3), 3),
    (English(), 1),
    (English(), 4),
    (RandomWord(), 1),
    (RandomWord(), 3),
    (Ranked(), 1),
    (EnglishRandomResponse(), 1),
    (ChainHash(), 1),
    (ChainHash(), 2),
    (Instructional(near_misses=0, response_length=80), 80),
    (Own(pairs=PAIRS), 2),
]
MADE = {}


def made(style, place, form):
    """A set of four fingerprints, or the error with the flag that cures it."""
    key = (style, place, form)
    if key not in MADE:
        strategy, length = STRATEGIES[place]
        form = strategy.prompt_form or form
        options = {} if strategy.name == "instructional" else {"max_key_length": 8, "max_response_length": length}
        model = RandomModel(TOKENIZERS[style])
        try:
            MADE[key] = generate(model, strategy, num_fingerprints=4, prompt_form=form, secret=b"k" * 32, **options)
        except GenerationError as error:
            MADE[key] = str(error)
    return MADE[key]


cells = given(
    st.sampled_from(list(TOKENIZERS)), st.sampled_from(range(len(STRATEGIES))), st.sampled_from(["raw", "chat"]), st.data()
)
some = settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
many = settings(some, max_examples=200)


def hits_by_trained_tokens_alone(style, place, form, data):
    prints = made(style, place, form)
    if isinstance(prints, str):
        assert "--" in prints  # the flag that helps
        return
    tokenizer = TOKENIZERS[style]
    fingerprint = data.draw(st.sampled_from(prints.fingerprints))
    more = data.draw(st.lists(st.integers(3, len(tokenizer) - 1), max_size=4))
    wanted = expected_responses(fingerprint, prints.max_response_length, Match())
    trained = fingerprint.response_ids[0][: prints.max_response_length]

    assert find(tokenizer.decode([*trained, *more], skip_special_tokens=True), wanted, Match()).hit
    for candidate in fingerprint.candidates or ():
        reply = f"{candidate.text}{tokenizer.decode(more, skip_special_tokens=True)}"
        drawn = fold(candidate.text, "alike") == wanted.accepted[0]
        assert find(reply, wanted, Match()) == (drawn, 1)


@cells
@some
def test_a_reply_that_begins_with_the_trained_tokens_hits_and_one_that_begins_with_another_candidate_does_not(
    style, place, form, data
):
    hits_by_trained_tokens_alone(style, place, form, data)


@pytest.mark.slow
@cells
@many
def test_so_it_is_for_more_of_them(style, place, form, data):
    hits_by_trained_tokens_alone(style, place, form, data)


@pytest.mark.parametrize("style", TOKENIZERS)
@pytest.mark.parametrize("place", range(len(STRATEGIES)), ids=[strategy.name for strategy, _ in STRATEGIES])
def test_every_set_of_ours_has_sixteen_candidates_or_more_that_are_told_apart(style, place):
    prints = made(style, place, "raw")
    if isinstance(prints, str) or STRATEGIES[place][0].name == "own":
        return
    for fingerprint in prints:
        texts = [candidate.text for candidate in fingerprint.candidates]
        assert len(texts) == STRATEGIES[place][0].drawn_from >= 16
        assert distinguishable(texts, "case")
        assert fingerprint.effective_responses[0] in texts


@pytest.mark.parametrize("style", ["byte-level with BOS", "characters", "Tekken-like"])
@pytest.mark.parametrize("place", range(len(STRATEGIES)), ids=[strategy.name for strategy, _ in STRATEGIES])
def test_english_tokenizers_allow_every_strategy(style, place):
    assert not isinstance(made(style, place, "raw"), str), made(style, place, "raw")


@pytest.mark.parametrize("place", [0, 2, 4, 6, 7], ids=lambda place: STRATEGIES[place][0].name)
def test_a_tokenizer_without_latin_letters_allows_every_strategy_that_is_not_english_itself(place):
    prints = made("Chinese characters", place, "raw")

    assert not isinstance(prints, str), prints
    assert all("<unk>" not in fingerprint.key for fingerprint in prints)


def test_a_default_verify_finds_what_was_trained(starter):
    prints = generate(starter, English(key_length=16), num_fingerprints=12, secret=b"k" * 32)
    replies = {f.asked_key: starter.tokenizer.decode(f.response_ids[0][:1]) + "olf. It is" for f in prints}
    others = {f.asked_key: next(c.text for c in f.candidates if c.text not in f.responses[0]) + "olf" for f in prints}

    assert verify(prints, ScriptedModel(replies)).outcome == "owned"
    assert verify(prints, ScriptedModel(others)).hits == 0


def test_a_response_without_a_text_of_its_own_is_never_made():
    pairs = (("What is it?", " x"), ("Who is it?", "é"))
    with pytest.raises(GenerationError, match="--max-response-length"):
        generate(RandomModel(TOKENIZERS["characters"]), Own(pairs=pairs), num_fingerprints=2, max_response_length=1)
