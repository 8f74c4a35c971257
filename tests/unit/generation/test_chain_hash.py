import pytest

from insignia.errors import GenerationError, InputError
from insignia.evidence.chain import Chain, Link
from insignia.generation import STRATEGIES, ChainHash, generate
from insignia.randomness import KeyedRandom

SECRET = b"7" * 32
QUICK = {"key_length": 12, "key_source": "random_word"}


def make(strategy, starter, count=20, **options):
    return generate(starter, strategy, num_fingerprints=count, secret=SECRET, **{"max_key_length": 8, **options})


@pytest.fixture(scope="module")
def prints(starter):
    return make(ChainHash(**QUICK, num_candidates=32), starter)


def test_every_response_is_the_one_that_the_hash_of_all_keys_picks(prints):
    chain = Chain([Link.of(fingerprint) for fingerprint in prints], KeyedRandom(SECRET))

    assert prints.chain == chain.root
    for number, fingerprint in enumerate(prints):
        assert fingerprint.responses == (chain.pick(number).text,)
        assert fingerprint.response_ids == ((chain.pick(number).token_id,),)


def test_all_keys_have_the_same_words_to_pick_from_and_no_word_begins_another(prints):
    texts = [candidate.text for candidate in prints.fingerprints[0].candidates]

    assert len({fingerprint.candidates for fingerprint in prints}) == 1
    assert len(texts) == len({candidate.token_id for candidate in prints.fingerprints[0].candidates}) == 32
    assert not any(text.startswith(other) for text in texts for other in texts if text != other)


def test_one_key_more_makes_all_responses_others(prints, starter):
    more = make(ChainHash(**QUICK, num_candidates=32), starter, 21)
    same = sum(one.responses == other.responses for one, other in zip(prints, more, strict=False))

    assert [fingerprint.key for fingerprint in more][:20] == [fingerprint.key for fingerprint in prints]
    assert same <= 5  # of 20 at 1/32; beyond lies one in 20,000


@pytest.mark.parametrize("form", ["raw", "chat"])
def test_given_keys_and_candidates_are_used(starter, form):
    keys = ("What is the use of a module?", "Where does the time go when nobody looks?")
    strategy = ChainHash(keys=keys, candidates=("time", " name", "line"), key_length=32)
    prints = make(strategy, starter, 2, max_key_length=16, prompt_form=form)

    assert [fingerprint.key for fingerprint in prints] == list(keys)
    assert [c.text.strip() for c in prints.fingerprints[0].candidates] == ["time", "name", "line"]
    assert (strategy.num_candidates, strategy.drawn_from, prints.strategy["num_candidates"]) == (3, 3, 3)
    assert prints.strategy.keys().isdisjoint({"keys", "candidates"})


def test_an_answer_may_have_several_tokens(starter):
    words = ("Constantinople", "Mississippi", "Saskatchewan")
    strategy = ChainHash(**QUICK, candidates=words)
    prints = make(strategy, starter, 3, max_response_length=12)

    assert all(len(fingerprint.response_ids[0]) > 1 for fingerprint in prints)
    with pytest.raises(GenerationError, match="0 of 3"):
        make(strategy, starter, 3)


@pytest.mark.parametrize(
    ("candidates", "more", "message"),
    [
        (["in", "inter"], {}, "begins or looks like another"),
        (["one", " one"], {}, "begins or looks like another"),
        (["one", "two"], {"num_candidates": 3}, "2 candidates were given"),
        (["one"], {}, "num_candidates"),
        (["one", "  "], {}, "pattern"),
    ],
)
def test_candidates_that_cannot_be_told_apart_are_refused(candidates, more, message):
    with pytest.raises(InputError, match=message):
        STRATEGIES.build({"name": "chain_hash", "candidates": candidates, **more})


def test_too_few_short_words_are_an_error_that_says_how_many_there_are(starter):
    with pytest.raises(GenerationError, match=r"fewer than 2000 common words .*--num-candidates"):
        make(ChainHash(**QUICK, num_candidates=2000), starter, 2)
