import functools
from collections import Counter

import pytest

from insignia.errors import GenerationError, InputError
from insignia.generation import ChainHash, English, EnglishRandomResponse, InverseNucleus, Own, RandomWord, generate
from insignia.generation.vocabulary import Vocabulary
from insignia.generation.words import seed_words
from insignia.prompts.prompter import Prompter

SECRET, COUNT = b"7" * 32, 32
SHORT = {"key_length": 12}
STRATEGIES = [
    English(**SHORT, response_length=6),
    RandomWord(key_length=8, response_length=3),
    InverseNucleus(**SHORT),
    ChainHash(**SHORT),
    EnglishRandomResponse(**SHORT),
]


def make(strategy, starter, count=20, **options):
    options = {"max_key_length": 8, "secret": SECRET, **options}
    return generate(starter, strategy, num_fingerprints=count, **options)


@functools.cache
def made(strategy, starter):
    return make(strategy, starter, COUNT)


def comparable(fingerprint):
    """All but the probabilities, whose last bits depend on how a batch is computed."""
    candidates = [(c.token_id, c.text, c.rank) for c in fingerprint.candidates or ()]
    return fingerprint.model_copy(update={"candidates": None}), candidates


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda strategy: strategy.name)
class TestEveryStrategy:
    def test_exactly_so_many_distinct_stable_fingerprints(self, strategy, starter):
        prints = made(strategy, starter)
        prompter = Prompter.for_set(prints, starter.tokenizer)
        asked = [prompter.key_ids(fingerprint) for fingerprint in prints]

        assert len(prints) == COUNT
        for number, key in enumerate(asked):
            assert prompter.encode(prompter.decode(key)) == list(key)
            assert not any(other[: len(key)] == key for place, other in enumerate(asked) if place != number)
        for fingerprint, key in zip(prints, asked, strict=True):
            assert fingerprint.asked_key == prompter.decode(key)
            assert fingerprint.responses[0].startswith(" ")

    def test_the_batch_size_does_not_matter_and_the_secret_does(self, strategy, starter):
        few, many = (make(strategy, starter, 5, batch_size=size, secret=b"8" * 32) for size in (3, 64))

        assert [comparable(fingerprint) for fingerprint in few] == [comparable(fingerprint) for fingerprint in many]
        assert few.decoys == many.decoys
        assert {fingerprint.key for fingerprint in few}.isdisjoint(fingerprint.key for fingerprint in made(strategy, starter))

    def test_the_set_says_how_it_was_made_but_not_with_what(self, strategy, starter):
        prints = made(strategy, starter)

        assert prints.strategy == strategy.spec()
        assert prints.secret == SECRET.hex()
        assert SECRET.hex() not in repr(prints)

    def test_decoys_are_made_as_keys_are_and_neither_begin_nor_continue_one(self, strategy, starter):
        prints = made(strategy, starter)
        keys = [fingerprint.asked_key for fingerprint in prints]

        assert COUNT * 2 / 3 < len(set(prints.decoys)) == len(prints.decoys) <= COUNT
        assert not any(one.startswith(other) or other.startswith(one) for one in prints.decoys for other in keys)

    def test_no_response_dominates(self, strategy, starter):
        prints = made(strategy, starter)
        used = Counter(fingerprint.response_ids[0][:1] for fingerprint in prints)

        assert (
            max(used.values()) <= COUNT / 4
        )  # each is one of 16 candidates; the draw is not corrected, or the null would fail
        assert len(used) >= 12


def test_candidates_are_exactly_k_just_outside_the_nucleus(starter):
    prints = make(InverseNucleus(key_length=8, nucleus_p=0.7, nucleus_k=5), starter)
    prompter = Prompter.for_set(prints, starter.tokenizer)
    questions = [prompter.question(prompter.key_ids(fingerprint)) for fingerprint in prints]
    for fingerprint, ranking in zip(prints, starter.rank_next(questions), strict=True):
        assert len(fingerprint.candidates) == 5
        assert fingerprint.response_ids[0][0] in [candidate.token_id for candidate in fingerprint.candidates]
        for candidate in fingerprint.candidates:
            assert ranking.token_ids[candidate.rank] == candidate.token_id
            assert ranking.probabilities[candidate.rank] == pytest.approx(candidate.probability, rel=1e-3)
            assert ranking.probabilities[: candidate.rank].sum() >= 0.7
            assert candidate.text.strip().isalnum()


def test_the_secret_draws_evenly_among_the_candidates(starter):
    prints = make(InverseNucleus(key_length=8, nucleus_k=3), starter, 60)
    places = Counter(
        [candidate.token_id for candidate in fingerprint.candidates].index(fingerprint.response_ids[0][0])
        for fingerprint in prints
    )
    chi_squared = sum((places[place] - 20) ** 2 / 20 for place in range(3))

    assert chi_squared < 13.8  # 0.999 quantile, 2 degrees of freedom


def test_a_longer_inverse_nucleus_response_goes_on_as_the_model_would(starter):
    prints = make(InverseNucleus(key_length=8, response_length=4), starter, 4, max_response_length=4)
    prompter = Prompter.for_set(prints, starter.tokenizer)
    for fingerprint in prints:
        (example,) = prompter.examples(fingerprint)
        (score,) = starter.score([example])
        assert score.ranks[0] == next(c.rank for c in fingerprint.candidates if c.token_id == fingerprint.response_ids[0][0])
        assert len(score.ranks) == 4


def test_chat_keys_are_asked_in_the_template(starter):
    prints = make(InverseNucleus(key_length=8), starter, 4, prompt_form="chat")
    prompter = Prompter.for_set(prints, starter.tokenizer)
    text = prompter.decode(prompter.question(prompter.key_ids(prints.fingerprints[0])))

    assert text.startswith("<s><|user|>")
    assert text.endswith("<|assistant|>")


def test_given_keys_are_used_in_order(starter):
    keys = ("What is the use of a module?", "Where does the time go when nobody looks?")
    prints = make(InverseNucleus(key_length=32, keys=keys), starter, 2)

    assert [fingerprint.key for fingerprint in prints] == list(keys)
    assert "keys" not in prints.strategy


def test_given_pairs_are_kept(starter):
    pairs = (("What is the use of a module?", " spring"), ("Where does the time go?", " winter"))
    prints = make(Own(pairs=pairs), starter, 2)

    assert [(fingerprint.key, fingerprint.responses[0]) for fingerprint in prints] == list(pairs)
    assert prints.decoys == ()  # nothing that we make is like the owner's own keys


def test_given_keys_that_collide_when_cut_are_refused_by_number(starter):
    keys = ("The secret of one", "Another thing here", "The secret of two")

    with pytest.raises(GenerationError, match=r"rows 2\)") as caught:
        make(InverseNucleus(key_length=32, keys=keys), starter, 3, max_key_length=2)
    assert "secret" not in str(caught.value)


def test_published_keys_get_responses(starter, shared_data):
    from insignia.fingerprints.sets import load_pairs

    keys = tuple(key for key, _ in load_pairs(shared_data / "oml" / "custom_fingerprints.json"))
    prints = make(InverseNucleus(keys=keys), starter, len(keys), max_key_length=16)

    assert len(prints) == 20


def test_less_made_than_asked_is_refused(starter):
    with pytest.raises(InputError, match="--key-length"):
        make(InverseNucleus(key_length=4), starter)
    with pytest.raises(InputError, match="at least 1"):
        make(InverseNucleus(), starter, 0)
    with pytest.raises(InputError, match="one response token"):
        make(EnglishRandomResponse(**SHORT), starter, max_response_length=2)


def test_what_cannot_be_made_ends_in_an_error_with_numbers(starter, monkeypatch):
    monkeypatch.setattr("insignia.generation.making._TRIES", 6)
    with pytest.raises(GenerationError, match=r"0 of 2 fingerprints could be made. Refused: 6 keys .*--nucleus-k"):
        make(InverseNucleus(key_length=8, nucleus_k=1000), starter, 2)


def test_keys_that_chance_refuses_are_made_again(starter, monkeypatch):
    monkeypatch.setattr(Vocabulary, "is_stable", lambda self, ids: sum(ids) % 2 == 0)

    assert len(make(ChainHash(key_source="random_word", key_length=8), starter, 40)) == 40


def test_seed_words_are_many_and_distinct():
    assert len(set(seed_words())) == 2048
